//! Training on one worker: the loss, its gradients, the step, the loop and the evaluation.

pub(crate) mod checkpoint;
mod evaluation;
mod gradients;
pub(crate) mod optimiser;
mod optimiser_state;
pub(crate) mod pass;
pub(crate) mod row_order;
mod train;
pub(crate) mod trainer;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use evaluation::{Evaluation, evaluate};
pub use gradients::Gradients;
pub use optimiser::Optimiser;
pub use optimiser_state::OptimiserState;
pub(crate) use pass::scores;
pub(crate) use train::fits;
pub use train::{Evaluated, Training, TrainingRun};
