//! The load generator, where no clock matters: what is sent, what is counted, and what is refused.

mod bad_input;
mod failures;
mod requests;
pub mod services;

use crate::engine::complaint;
