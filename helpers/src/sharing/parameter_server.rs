//! Asynchronous training with a parameter server: the last worker of the team.

use std::time::Instant;

use super::shared_run::{Log, Snapshot};
use super::worker::{Replica, Worker, own_batch};
use crate::communication::{Communicator, ThreadCommunicator};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::training::{Gradients, Training};

/// Behind the numbers of a message stands the number of updates that its parameters have seen. It travels as the bits
/// of a 32-bit float, which nobody computes with.
fn with_updates(mut values: Vec<f32>, updates: u32) -> Vec<f32> {
    values.push(f32::from_bits(updates));
    values
}

/// Computes gradients with the parameters that the server sent last.
pub(super) struct Client<'a> {
    data: &'a Dataset,
    replica: Replica,
    communicator: ThreadCommunicator,
    message: Vec<f32>,
    /// Updates that the parameters here have seen.
    updates: u32,
}

impl<'a> Client<'a> {
    pub(super) fn new(training: &Training, data: &'a Dataset, communicator: ThreadCommunicator) -> Result<Self> {
        Ok(Self { data, replica: Replica::new(training)?, communicator, message: Vec::new(), updates: 0 })
    }

    fn server(&self) -> usize {
        self.communicator.world_size() - 1
    }
}

impl Worker for Client<'_> {
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let server = self.server();
        let network = &self.replica.network;
        let batch = own_batch(self.data, rows, network, self.communicator.rank(), server)?;
        let (loss, gradients) = Gradients::of(network, &batch)?;
        self.message = with_updates(gradients.to_flat()?, self.updates);
        self.communicator.send(server, &self.message)?;
        self.communicator.receive(server, &mut self.message)?;
        if let Some((updates, parameters)) = self.message.split_last() {
            self.updates = updates.to_bits();
            network.set_parameters(parameters)?;
        }
        Ok(Some(loss))
    }

    /// The server has them.
    fn parameters(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }

    fn sum(&mut self, _: Vec<f32>) -> Result<Vec<f32>> {
        Err(Error::invalid("asynchronous workers have no common sum"))
    }

    fn replica(&mut self) -> Option<&mut Replica> {
        None
    }

    fn finish(self: Box<Self>) -> Result<ThreadCommunicator> {
        Ok(self.communicator)
    }
}

/// Changes the parameters with each worker's gradients as they come. A step is as many updates as there are workers.
pub(super) fn serve(training: &Training, communicator: &mut ThreadCommunicator) -> Result<Log> {
    let mut replica = Replica::new(training)?;
    let network = &replica.network;
    let mut gradients = Gradients::zeros(network)?;
    let workers = communicator.world_size() - 1;
    let mut message = vec![0.0; training.model.parameters() + 1];
    let mut log = Log::default();
    let start = Instant::now();
    let mut paused = 0.0;
    for update in 0..(workers * training.steps) as u32 {
        let from = communicator.receive_from_any(&mut message)?;
        if let Some((updates, values)) = message.split_last() {
            log.staleness.push(update - updates.to_bits());
            gradients.set_flat(values.to_vec())?;
        }
        replica.optimiser.step(network, &gradients)?;
        communicator.send(from, &with_updates(network.parameters()?, update + 1))?;
        let step = (update as usize + 1) / workers;
        let whole = (update as usize + 1).is_multiple_of(workers);
        if whole && (step.is_multiple_of(training.evaluate_every) || step == training.steps) {
            let pause = Instant::now();
            let seconds = (pause - start).as_secs_f64() - paused;
            log.snapshots.push(Snapshot { step, seconds, parameters: network.parameters()? });
            paused += pause.elapsed().as_secs_f64();
        }
    }
    log.seconds = start.elapsed().as_secs_f64() - paused;
    Ok(log)
}
