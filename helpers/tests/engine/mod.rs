//! Models, training, communication and the experiments.

mod architectures;
mod bad_input;
mod checkpoint;
mod collectives;
mod data;
mod fresh_process;
mod gradients_agree;
mod killed;
mod learning;
mod messages;
mod mistakes;
mod optimiser;
mod own_file;
mod precision;
mod pytorch;
mod replay;
mod scaling_run;
mod sharing;
mod storage;
pub mod support;
mod team;
mod team_failures;
mod text;

pub use support::complaint;
use support::guess;
