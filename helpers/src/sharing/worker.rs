//! What all ways of sharing have in common: a worker takes steps.

use crate::communication::{Communicator, ThreadCommunicator, chunk};
use crate::data::{Batch, Dataset};
use crate::error::{Error, Result};
use crate::model::Network;
use crate::training::{OptimiserState, Training};

/// One worker of a run.
pub(super) trait Worker {
    /// Takes a step on these rows of the data, or on its own share of them, and returns the loss where it is known.
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>>;

    /// The model's parameters as far as the run has come, at worker 0; nothing where somebody else has them. All
    /// workers must ask at the same step.
    fn parameters(&mut self) -> Result<Option<Vec<f32>>>;

    /// The sum of `values` over all workers.
    fn sum(&mut self, values: Vec<f32>) -> Result<Vec<f32>>;

    /// What a checkpoint keeps besides the parameters, where one can be kept.
    fn replica(&mut self) -> Option<&mut Replica>;

    /// Gives the communicator back.
    fn finish(self: Box<Self>) -> Result<ThreadCommunicator>;
}

/// A whole model with its optimiser.
pub(super) struct Replica {
    pub(super) network: Network,
    pub(super) optimiser: OptimiserState,
}

impl Replica {
    pub(super) fn new(training: &Training) -> Result<Self> {
        let network = training.network()?;
        let optimiser = training.optimiser.start(&network)?;
        Ok(Self { network, optimiser })
    }
}

/// The rows of a step that a worker has to itself.
pub(super) fn own_batch(
    data: &Dataset,
    rows: &[usize],
    network: &Network,
    rank: usize,
    workers: usize,
) -> Result<Batch> {
    data.batch(&rows[chunk(rank, workers, rows.len())], network.device())
}

/// The sum over all workers, for those that have their communicator at hand.
pub(super) fn summed(workers: &mut dyn Communicator, mut values: Vec<f32>) -> Result<Vec<f32>> {
    workers.all_reduce_sum(&mut values)?;
    Ok(values)
}

/// The mean over all workers.
pub(super) fn averaged(workers: &mut dyn Communicator, values: Vec<f32>) -> Result<Vec<f32>> {
    let share = 1.0 / workers.world_size() as f32;
    Ok(summed(workers, values)?.into_iter().map(|sum| sum * share).collect())
}

/// A way that keeps no checkpoints was asked for one; refused before the run.
pub(super) fn no_checkpoints(way: impl std::fmt::Display) -> Error {
    Error::invalid(format!(
        "a run with {way} keeps no checkpoints: its workers are in different states; leave out saving(..), or use \
         Sharing::every_step()"
    ))
}
