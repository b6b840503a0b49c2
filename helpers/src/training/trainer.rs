//! A training run in progress: what a step changes, and what a checkpoint keeps of it.

use std::time::Instant;

use super::checkpoint::{Checkpoint, Place, describe};
use super::row_order::RowOrder;
use super::{Evaluated, Gradients, OptimiserState, Training, TrainingRun};
use crate::data::Split;
use crate::error::Result;
use crate::model::{Architecture, Model, Network};

/// A run that goes on: everything that a step changes.
pub(crate) struct Trainer<'a> {
    data: &'a Split,
    network: Network,
    optimiser: OptimiserState,
    order: RowOrder,
    pub(super) run: TrainingRun,
}

impl<'a> Trainer<'a> {
    /// Before the first step.
    pub(super) fn new(training: &Training, data: &'a Split) -> Result<Self> {
        training.validate(&data.train)?;
        let network = training.network()?;
        let optimiser = training.optimiser.start(&network)?;
        let order = RowOrder::new(data.train.rows(), training.rows_per_step, training.seed);
        let mut run = TrainingRun {
            training: training.clone(),
            losses: Vec::new(),
            evaluations: Vec::new(),
            seconds: 0.0,
            diverged: false,
            steps_to_target: None,
        };
        run.look(&network, &data.held_out, 0)?;
        Ok(Self { data, network, optimiser, order, run })
    }

    pub(super) fn is_done(&self) -> bool {
        let run = &self.run;
        run.diverged || run.steps_to_target.is_some() || run.losses.len() >= run.training.steps
    }

    pub(super) fn step(&mut self) -> Result<()> {
        let training = &self.run.training;
        let start = Instant::now();
        let rows = self.order.next_rows();
        let batches = rows
            .chunks(rows.len().div_ceil(training.micro_batches))
            .map(|rows| self.data.train.batch(rows, self.network.device()))
            .collect::<Result<Vec<_>>>()?;
        let (loss, gradients) = match &batches[..] {
            [whole] => Gradients::of(&self.network, whole)?,
            parts => Gradients::accumulated(&self.network, parts)?,
        };
        self.optimiser.step(&self.network, &gradients)?;
        self.network.synchronise()?;
        self.run.seconds += start.elapsed().as_secs_f64();
        if !loss.is_finite() {
            self.run.diverged = true;
            return Ok(());
        }
        self.run.losses.push(loss);
        let step = self.run.losses.len();
        if step.is_multiple_of(training.evaluate_every) || step == training.steps {
            self.run.look(&self.network, &self.data.held_out, step)?;
        }
        Ok(())
    }

    /// The network as it is now.
    pub(super) fn network(self) -> Network {
        self.network
    }

    /// Goes on with these parameters.
    pub(super) fn set_parameters(&mut self, parameters: &[f32]) -> Result<()> {
        self.network.set_parameters(parameters)
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            steps: self.run.losses.len(),
            variables: named(&self.run.training.model, &self.network.parameters()?),
            moments: self.optimiser.moments()?,
            losses: self.run.losses.clone(),
            evaluations: self.run.evaluations.clone(),
            description: describe(&self.run.training)?,
            place: Place {
                pass_seed: self.order.seed,
                next_row: self.order.next,
                seconds: self.run.seconds,
                evaluated_after: Vec::new(),
            },
        })
    }

    /// Goes on from there.
    pub(super) fn restore(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let parameters: Vec<f32> = checkpoint.variables.into_iter().flat_map(|(_, values)| values).collect();
        self.network.set_parameters(&parameters)?;
        self.optimiser.restore(checkpoint.steps, &checkpoint.moments)?;
        self.order.go_to(checkpoint.place.pass_seed, checkpoint.place.next_row);
        self.run.losses = checkpoint.losses;
        self.run.evaluations = checkpoint.evaluations;
        self.run.seconds = checkpoint.place.seconds;
        let target = |at: &&Evaluated| self.run.training.target_loss.is_some_and(|target| at.held_out.loss <= target);
        self.run.steps_to_target = self.run.evaluations.iter().find(target).map(|at| at.step);
        Ok(())
    }
}

/// Each variable's name and numbers, out of all parameters one after the other.
pub(crate) fn named(model: &Model, parameters: &[f32]) -> Vec<(String, Vec<f32>)> {
    let mut rest = parameters;
    let take = |(name, length)| {
        let (values, after) = rest.split_at(length);
        rest = after;
        (name, values.to_vec())
    };
    model.variables().into_iter().map(take).collect()
}
