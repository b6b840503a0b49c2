//! Training by several workers: every way of sharing the work of a step, each apart from how workers talk.
//!
//! - [`SharedTraining`]: a [`Training`](crate::training::Training) with workers, and the [`SharedRun`] it gives
//! - [`Sharing`]: who has what and when they talk
//! - [`GradientMean`]: gradients averaged after the pass, or while it goes on
//! - [`Compression`]: fewer bytes for the same gradients, and what was lost remembered for the next step

mod assembly;
mod background;
mod compression;
mod data_parallel;
mod gradient_mean;
mod hogwild;
mod parameter_server;
mod pipeline;
mod shared_run;
mod shared_training;
mod tensor;
mod way;
mod worker;

pub use compression::{Compression, Compressor};
pub use gradient_mean::GradientMean;
pub use shared_run::{SharedRun, TimedEvaluation};
pub use shared_training::SharedTraining;
pub use way::Sharing;
