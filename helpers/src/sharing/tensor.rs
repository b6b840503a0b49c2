//! Workers that run each layer together.

use super::assembly::{Part, assemble};
use super::worker::{Replica, Worker, summed};
use crate::communication::{Communicator, ThreadCommunicator};
use crate::data::Dataset;
use crate::error::Result;
use crate::training::{Gradients, Training, pass};

/// A worker with a share of each layer's hidden units or heads. All workers take the same rows.
pub(super) struct Tensor<'a> {
    training: &'a Training,
    data: &'a Dataset,
    /// The network has this worker's part only.
    replica: Replica,
    communicator: ThreadCommunicator,
}

impl<'a> Tensor<'a> {
    pub(super) fn new(training: &'a Training, data: &'a Dataset, communicator: ThreadCommunicator) -> Result<Self> {
        let all = training.network()?.parameters()?;
        let part = Part::of_each_layer(&training.model, communicator.rank(), communicator.world_size());
        let network = part.network(&all)?;
        let optimiser = training.optimiser.start(&network)?;
        Ok(Self { training, data, replica: Replica { network, optimiser }, communicator })
    }
}

impl Worker for Tensor<'_> {
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let Replica { network, optimiser } = &mut self.replica;
        let batch = self.data.batch(rows, network.device())?;
        let workers = &mut self.communicator;
        let (loss, gradients) = Gradients::collected(network, |ready| {
            pass::loss_and_gradients(network, &batch, 1.0, &mut Some(workers), ready)
        })?;
        optimiser.step(network, &gradients)?;
        Ok(Some(loss))
    }

    fn parameters(&mut self) -> Result<Option<Vec<f32>>> {
        let workers = self.communicator.world_size();
        let part = |rank| Part::of_each_layer(&self.training.model, rank, workers);
        assemble(&self.replica.network, part, &mut self.communicator).map(Some)
    }

    fn sum(&mut self, values: Vec<f32>) -> Result<Vec<f32>> {
        summed(&mut self.communicator, values)
    }

    fn replica(&mut self) -> Option<&mut Replica> {
        None
    }

    fn finish(self: Box<Self>) -> Result<ThreadCommunicator> {
        Ok(self.communicator)
    }
}
