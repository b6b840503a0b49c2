//! Data-parallel workers: those that average gradients in every step, and those that average parameters now and then.

use super::worker::{Replica, Worker, averaged, own_batch, summed};
use super::{Compression, GradientMean};
use crate::communication::{Communicator, Synchronisation, ThreadCommunicator};
use crate::data::Dataset;
use crate::error::Result;
use crate::training::{Gradients, Training};

/// Averages gradients in every step, so that all workers have the same parameters.
pub(super) struct EveryStep<'a> {
    data: &'a Dataset,
    rank: usize,
    workers: usize,
    replica: Replica,
    mean: GradientMean<ThreadCommunicator>,
}

impl<'a> EveryStep<'a> {
    pub(super) fn new(
        training: &Training,
        data: &'a Dataset,
        synchronisation: Synchronisation,
        compression: Option<Compression>,
        communicator: ThreadCommunicator,
    ) -> Result<Self> {
        let (rank, workers) = (communicator.rank(), communicator.world_size());
        let mean = GradientMean::new(synchronisation, compression, communicator)?;
        Ok(Self { data, rank, workers, replica: Replica::new(training)?, mean })
    }
}

impl Worker for EveryStep<'_> {
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let Replica { network, optimiser } = &mut self.replica;
        let batch = own_batch(self.data, rows, network, self.rank, self.workers)?;
        let (loss, gradients) = self.mean.of(network, &batch)?;
        optimiser.step(network, &gradients)?;
        Ok(Some(loss))
    }

    fn parameters(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(if self.rank == 0 { Some(self.replica.network.parameters()?) } else { None })
    }

    fn sum(&mut self, values: Vec<f32>) -> Result<Vec<f32>> {
        self.mean.sum(values)
    }

    fn replica(&mut self) -> Option<&mut Replica> {
        Some(&mut self.replica)
    }

    fn finish(self: Box<Self>) -> Result<ThreadCommunicator> {
        self.mean.finish()
    }
}

/// Takes steps on its own, and averages parameters after every `period` of them.
pub(super) struct LocalSteps<'a> {
    data: &'a Dataset,
    replica: Replica,
    communicator: ThreadCommunicator,
    period: usize,
    since_average: usize,
}

impl<'a> LocalSteps<'a> {
    pub(super) fn new(
        training: &Training,
        data: &'a Dataset,
        period: usize,
        communicator: ThreadCommunicator,
    ) -> Result<Self> {
        Ok(Self { data, replica: Replica::new(training)?, communicator, period, since_average: 0 })
    }

    fn mean(&mut self) -> Result<Vec<f32>> {
        averaged(&mut self.communicator, self.replica.network.parameters()?)
    }
}

impl Worker for LocalSteps<'_> {
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let Replica { network, optimiser } = &mut self.replica;
        let (rank, workers) = (self.communicator.rank(), self.communicator.world_size());
        let batch = own_batch(self.data, rows, network, rank, workers)?;
        let (loss, gradients) = Gradients::of(network, &batch)?;
        optimiser.step(network, &gradients)?;
        self.since_average += 1;
        if self.since_average == self.period {
            self.since_average = 0;
            let mean = self.mean()?;
            self.replica.network.set_parameters(&mean)?;
        }
        Ok(Some(loss))
    }

    /// The mean of where all workers are; they go on from where they were.
    fn parameters(&mut self) -> Result<Option<Vec<f32>>> {
        self.mean().map(Some)
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
