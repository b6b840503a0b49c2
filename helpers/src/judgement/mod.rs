//! What the learner thought, what came out, and what follows.
//!
//! - [`predict`] stores a [`Prediction`] before a run; [`Prediction::reveal`] says by which factor it missed
//! - [`Verdict`] answers a common belief: myth, holds here, or inconclusive
//! - [`check`] judges the exercises

pub mod check;
mod prediction;
mod verdict;

pub use check::Passed;
pub use prediction::{Prediction, Quantity, Reveal, choice, percent, predict, rows, seconds, times};
pub use verdict::{Answer, Bound, Case, Claim, Verdict};
