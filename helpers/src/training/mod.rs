//! Training on one worker: the loss, its gradients, the step, the loop and the evaluation.

mod evaluation;
mod gradients;
mod sgd;
mod train;

pub use evaluation::{Evaluation, evaluate};
pub use gradients::Gradients;
pub use sgd::Sgd;
pub(crate) use train::fits;
pub use train::{Evaluated, Training, TrainingRun};
