//! Workers that have some of the layers each.
//!
//! With p workers and m micro-batches a worker is busy m of m + p - 1 turns: the rest is the bubble, which more
//! micro-batches make smaller.

use std::borrow::Cow;
use std::ops::Range;

use super::assembly::{Part, assemble};
use super::worker::{Replica, Worker, summed};
use crate::communication::{Communicator, ThreadCommunicator, chunk};
use crate::data::Dataset;
use crate::error::Result;
use crate::model::{Architecture, Model, Network};
use crate::training::{Gradients, Training, pass};

/// A worker with some of the model's blocks.
pub(super) struct Pipeline<'a> {
    training: &'a Training,
    data: &'a Dataset,
    /// The network has this worker's blocks only.
    replica: Replica,
    communicator: ThreadCommunicator,
    blocks: Range<usize>,
    micro_batches: usize,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        training: &'a Training,
        data: &'a Dataset,
        micro_batches: usize,
        communicator: ThreadCommunicator,
    ) -> Result<Self> {
        let model = &training.model;
        let all = training.network()?.parameters()?;
        let blocks = chunk(communicator.rank(), communicator.world_size(), pass::block_count(model)?);
        let network = Part::of_blocks(model, &blocks).network(&all)?;
        let optimiser = training.optimiser.start(&network)?;
        Ok(Self { training, data, replica: Replica { network, optimiser }, communicator, blocks, micro_batches })
    }

    /// The mean loss, at the last worker, and the sums of this worker's gradients over all micro-batches.
    fn pass(&mut self, rows: &[usize]) -> Result<(Option<f64>, Vec<Option<Vec<f32>>>)> {
        let (network, model) = (&self.replica.network, &self.training.model);
        let (rank, workers) = (self.communicator.rank(), &mut self.communicator);
        let (is_first, is_last) = (rank == 0, rank + 1 == workers.world_size());
        let parameters = pass::Parameters::of(network)?;
        let blocks = pass::blocks(model, &parameters, self.blocks.clone())?;
        let rows_each = rows.len() / self.micro_batches;
        let numbers = rows_each * numbers_between_blocks(model);

        let mut turns = Vec::with_capacity(self.micro_batches);
        let mut loss = 0.0;
        for rows in rows.chunks(rows_each) {
            let batch = self.data.batch(rows, network.device())?;
            let input = if is_first {
                pass::Numbers::of(&batch.features)?.values()?.to_vec()
            } else {
                let mut input = vec![0.0; numbers];
                workers.receive(rank - 1, &mut input)?;
                input
            };
            let (mut output, way_back) = pass::chain::forward(&blocks, Cow::Owned(input), &mut None)?;
            if is_last {
                let share = 1.0 / self.micro_batches as f32;
                let labels = pass::labels(&batch)?;
                loss += f64::from(share) * pass::loss::cross_entropy(&mut output, &labels, model.classes(), share)?;
                turns.push((way_back, output));
            } else {
                workers.send(rank + 1, &output)?;
                turns.push((way_back, Vec::new()));
            }
        }
        let mut sums: Vec<Option<Vec<f32>>> = vec![None; network.variables().len()];
        for (way_back, mut gradient) in turns {
            if !is_last {
                gradient.resize(numbers, 0.0);
                workers.receive(rank + 1, &mut gradient)?;
            }
            let of_input = way_back.back(gradient, &mut None, &mut |index, values| {
                match &mut sums[index] {
                    Some(sum) => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
                    empty => *empty = Some(values),
                }
                Ok(())
            })?;
            if !is_first {
                workers.send(rank - 1, &of_input)?;
            }
        }
        Ok((is_last.then_some(loss), sums))
    }
}

impl Worker for Pipeline<'_> {
    fn step(&mut self, rows: &[usize]) -> Result<Option<f64>> {
        let (loss, sums) = self.pass(rows)?;
        let network: &Network = &self.replica.network;
        let (_, gradients) = Gradients::collected(network, |ready| {
            sums.into_iter().enumerate().try_for_each(|(index, sum)| ready(index, sum.unwrap_or_default()))
        })?;
        self.replica.optimiser.step(network, &gradients)?;
        Ok(loss)
    }

    fn parameters(&mut self) -> Result<Option<Vec<f32>>> {
        let (model, workers) = (&self.training.model, self.communicator.world_size());
        let blocks = pass::block_count(model)?;
        let part = |rank| Part::of_blocks(model, &chunk(rank, workers, blocks));
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

/// Numbers of each row that one block gives the next.
fn numbers_between_blocks(model: &Model) -> usize {
    match model {
        Model::Mlp(model) => model.width(),
        Model::Transformer(model) => model.columns() * model.width(),
        // It has no blocks.
        Model::Convnet(_) => 0,
    }
}
