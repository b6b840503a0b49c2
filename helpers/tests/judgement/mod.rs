//! Predictions, verdicts, exercise checks.

mod check;
mod prediction;
mod verdict;
