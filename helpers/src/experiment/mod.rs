//! Experiments: what is varied, how it is measured, and the result with everything needed to judge it.
//!
//! - [`DataParallel`]: throughput of p workers against rows per worker, and the [`ScalingRun`] it gives
//! - [`TimeToLoss`]: the same workers, asked for the time to the same loss
//! - [`WrongParallelism`]: three mistakes, each run beside the right way
//! - [`StepTime`]: how long a training step takes in one process
//! - [`StepRoofline`]: such steps below the measured roof of their machine
//! - [`SideBySide`]: workers that share one machine or one GPU, as processes and as threads
//! - [`AllReduceBandwidth`]: how near an all-reduce between threads comes to the memory's bandwidth
//! - [`Experiment`]: any of them as a value that can be stored, and [`in_fresh_process`], which runs it alone

mod all_reduce_bandwidth;
mod cost;
mod data_parallel;
mod fresh_process;
mod inference_time;
mod measurement;
mod mistake;
mod scaling_run;
mod scaling_view;
mod serialised;
mod side_by_side;
mod step_roofline;
mod step_time;
mod time_to_loss;
mod time_to_loss_run;
mod wrong_parallelism;
mod wrong_parallelism_run;

pub use all_reduce_bandwidth::{AllReduceBandwidth, AllReduceBandwidthRun};
pub use cost::StepCost;
pub use data_parallel::DataParallel;
pub use fresh_process::in_fresh_process;
pub(crate) use fresh_process::worker_command;
pub use inference_time::{InferenceTime, InferenceTimeRun};
pub use mistake::Mistake;
pub use scaling_run::{Baseline, ScalingPoint, ScalingRun};
pub use serialised::{Experiment, Outcome};
pub use side_by_side::{SideBySide, SideBySideRun};
pub use step_roofline::{StepRoofline, StepRooflineRun, StepsBelowRoof};
pub use step_time::{StepTime, StepTimeRun};
pub use time_to_loss::{RateRule, TimeToLoss};
pub use time_to_loss_run::{LossPoint, TimeToLossRun};
pub use wrong_parallelism::WrongParallelism;
pub use wrong_parallelism_run::{Attempt, WrongParallelismRun};
