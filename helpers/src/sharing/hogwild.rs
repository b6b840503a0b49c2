//! Workers that change the same parameters in one memory, without a lock.

use std::sync::atomic::{AtomicU32, Ordering};

use super::worker::{Replica, Worker, own_batch, summed};
use crate::communication::{Communicator, ThreadCommunicator};
use crate::data::Dataset;
use crate::error::Result;
use crate::model::Architecture;
use crate::training::{Gradients, Training};

/// The parameters that all workers change, as the bits of 32-bit floats.
///
/// Each number is read and written in one piece, and nothing more is promised: between a worker's reading and its
/// writing another one may write, whose change is then lost.
pub(super) struct SharedParameters(Vec<AtomicU32>);

impl SharedParameters {
    /// The first parameters of this training.
    pub(super) fn new(training: &Training) -> Result<Self> {
        let values = training.network()?.parameters()?;
        Ok(Self(values.into_iter().map(|value| AtomicU32::new(value.to_bits())).collect()))
    }

    fn read(&self) -> Vec<f32> {
        self.0.iter().map(|value| f32::from_bits(value.load(Ordering::Relaxed))).collect()
    }

    /// Changes the numbers from `start` on against their gradients.
    fn descend(&self, start: usize, gradients: &[f32], rate: f32, decay: f32) {
        for (shared, gradient) in self.0[start..].iter().zip(gradients) {
            let value = f32::from_bits(shared.load(Ordering::Relaxed));
            shared.store((value - rate * (gradient + decay * value)).to_bits(), Ordering::Relaxed);
        }
    }
}

/// One of the workers.
pub(super) struct Hogwild<'a> {
    training: &'a Training,
    data: &'a Dataset,
    shared: &'a SharedParameters,
    replica: Replica,
    communicator: ThreadCommunicator,
    /// Where each variable begins among the parameters.
    starts: Vec<usize>,
    steps: usize,
}

impl<'a> Hogwild<'a> {
    pub(super) fn new(
        training: &'a Training,
        data: &'a Dataset,
        shared: &'a SharedParameters,
        communicator: ThreadCommunicator,
    ) -> Result<Self> {
        let lengths = training.model.variables().into_iter().map(|(_, length)| length);
        let starts = lengths.scan(0, |end, length| Some(std::mem::replace(end, *end + length))).collect();
        let replica = Replica::new(training)?;
        Ok(Self { training, data, shared, replica, communicator, starts, steps: 0 })
    }
}

impl Worker for Hogwild<'_> {
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let network = &self.replica.network;
        let (rank, workers) = (self.communicator.rank(), self.communicator.world_size());
        let batch = own_batch(self.data, rows, network, rank, workers)?;
        network.set_parameters(&self.shared.read())?;
        let optimiser = &self.training.optimiser;
        let rate = optimiser.learning_rate_at(self.steps) as f32;
        let loss = Gradients::handed_over(network, &batch, 1.0, &mut |index, gradient| {
            self.shared.descend(self.starts[index], &gradient, rate, optimiser.weight_decay as f32);
            Ok(())
        })?;
        self.steps += 1;
        Ok(Some(loss))
    }

    fn parameters(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.shared.read()))
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
