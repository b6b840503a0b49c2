//! The training loop on one trainer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trainer::Trainer;
use super::{Checkpoint, Checkpoints, Evaluation, Optimiser, evaluate};
use crate::data::{Dataset, Source, Split};
use crate::device::{Device, Precision};
use crate::display::{Progress, Table, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::interrupt::check_interrupt;
use crate::model::{Architecture, Model, Network};

/// Between two pictures of a training that goes on.
const BETWEEN_UPDATES: Duration = Duration::from_millis(500);

/// A training run's description. [`Training::run`] does it.
///
/// ```no_run
/// use onramp::prelude::*;
///
/// let run = Training::new(Mlp::new(64).inputs(64)).data(Source::digits()).rows_per_step(32).steps(600).run()?;
/// assert!(run.accuracy() > 0.9);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub(crate) model: Model,
    pub(crate) data: Source,
    pub(crate) rows_per_step: usize,
    pub(crate) steps: usize,
    pub(crate) micro_batches: usize,
    pub(crate) optimiser: Optimiser,
    pub(crate) evaluate_every: usize,
    pub(crate) target_loss: Option<f64>,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    #[serde(default)]
    pub(crate) precision: Precision,
}

/// The loss or the evaluation at one step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Steps done before it.
    pub step: usize,
    /// Loss and accuracy on held-out rows.
    pub held_out: Evaluation,
}

/// What a training run gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRun {
    /// The description of the run.
    pub training: Training,
    /// Mean loss over the rows of each step, before the step.
    pub losses: Vec<f64>,
    /// Held-out results before the first step and after every `evaluate_every` steps.
    pub evaluations: Vec<Evaluated>,
    /// Wall-clock time of the steps without the evaluations, in seconds.
    pub seconds: f64,
    /// True when the loss stopped being a finite number, which ended the run.
    pub diverged: bool,
    /// Steps after which the held-out loss was at or below the target, if there was one and it was reached.
    pub steps_to_target: Option<usize>,
}

impl Training {
    /// Training of this model on 20,000 teacher-labelled rows: 400 steps of 64 rows at a learning rate of 0.1.
    pub fn new(model: impl Into<Model>) -> Self {
        Self {
            model: model.into(),
            data: Source::teacher(20_000),
            rows_per_step: 64,
            steps: 400,
            micro_batches: 1,
            optimiser: Optimiser::sgd(0.1),
            evaluate_every: 50,
            target_loss: None,
            seed: 0,
            device: Device::best(),
            precision: Precision::F32,
        }
    }

    /// The data to learn from.
    pub fn data(mut self, data: Source) -> Self {
        self.data = data;
        self
    }

    /// Rows whose mean gradient makes a step.
    pub fn rows_per_step(mut self, rows: usize) -> Self {
        self.rows_per_step = rows;
        self
    }

    /// Steps after which the run ends.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// How far each step goes.
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.optimiser = self.optimiser.learning_rate(rate);
        self
    }

    /// How parameters follow their gradients.
    pub fn optimiser(mut self, optimiser: Optimiser) -> Self {
        self.optimiser = optimiser;
        self
    }

    /// Takes the gradient of a step in so many parts, one after the other, with the memory of one of them.
    pub fn micro_batches(mut self, parts: usize) -> Self {
        self.micro_batches = parts;
        self
    }

    /// Steps between two looks at the held-out rows.
    pub fn evaluate_every(mut self, steps: usize) -> Self {
        self.evaluate_every = steps;
        self
    }

    /// Ends the run when the held-out loss, in nats, is this low.
    pub fn stop_at_loss(mut self, target: f64) -> Self {
        self.target_loss = Some(target);
        self
    }

    /// The seed of the first weights, the split and the order of the rows.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where the model lives. Without this, on the GPU if there is one.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// In which numbers the passes compute.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The network before the first step.
    pub(crate) fn network(&self) -> Result<Network> {
        self.model.build(self.seed, &self.device)?.in_precision(self.precision)
    }

    /// Loads the data and trains. While it does, a notebook shows how far it is, and the losses so far.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the description can't be trained (zero steps, more rows in a step than there
    /// are, a model whose inputs don't fit the data), [`Error::Data`] when the data can't be read,
    /// [`Error::Interrupted`] between two steps.
    pub fn run(&self) -> Result<TrainingRun> {
        let data = self.data.load(self.seed)?;
        self.train(&data, &mut self.watch())
    }

    /// Trains on data that is already loaded, without a word.
    ///
    /// # Errors
    /// As for [`Training::run`].
    pub fn run_on(&self, data: &Split) -> Result<TrainingRun> {
        self.train(data, &mut |_| ())
    }

    /// As [`Training::run`], and saves where it is; goes on from the file where there is one.
    ///
    /// A run that was stopped and goes on ends with the same bits as one that never stopped, when one thread computes
    /// (several threads may add in another order).
    ///
    /// # Errors
    /// As for [`Training::run`]; [`Error::Data`] when the file is damaged or something else,
    /// [`Error::InvalidInput`] when it was saved by a run of another description, [`Error::Io`] when it can't be
    /// written.
    pub fn run_saving(&self, checkpoints: &Checkpoints) -> Result<TrainingRun> {
        if checkpoints.every == 0 {
            return Err(Error::invalid("a checkpoint every 0 steps is never written; use at least 1, such as 100"));
        }
        let data = self.data.load(self.seed)?;
        let mut trainer = Trainer::new(self, &data)?;
        if checkpoints.path.exists() {
            let checkpoint = Checkpoint::load(&checkpoints.path)?;
            checkpoint.check_fits(self, &checkpoints.path)?;
            trainer.restore(checkpoint)?;
        }
        let mut watch = self.watch();
        while !trainer.is_done() {
            if let Err(interrupted) = check_interrupt() {
                trainer.checkpoint()?.save(&checkpoints.path)?;
                return Err(interrupted);
            }
            trainer.step()?;
            if trainer.run.losses.len().is_multiple_of(checkpoints.every) || trainer.is_done() {
                trainer.checkpoint()?.save(&checkpoints.path)?;
            }
            watch(&trainer.run);
        }
        Ok(trainer.run)
    }

    /// Shows in a notebook how far a run is.
    fn watch(&self) -> impl FnMut(&TrainingRun) {
        let mut progress = Progress::new("training", Some(self.steps)).at_most_every(BETWEEN_UPDATES);
        let mut done = 0;
        move |run| {
            if progress.is_due() {
                progress.note(format!("loss {}", significant(run.losses.last().copied().unwrap_or(f64::NAN))));
                progress.picture(run.figure().map(|figure| figure.svg()).unwrap_or_default());
            }
            progress.advance(run.losses.len() - done);
            done = run.losses.len();
        }
    }

    /// Trains, and shows what there is to `watch` after each step.
    fn train(&self, data: &Split, watch: &mut dyn FnMut(&TrainingRun)) -> Result<TrainingRun> {
        let mut trainer = Trainer::new(self, data)?;
        while !trainer.is_done() {
            check_interrupt()?;
            trainer.step()?;
            watch(&trainer.run);
        }
        Ok(trainer.run)
    }

    /// Trains from `start` on, or without it from fresh weights, and gives the network: what is put into service.
    pub(crate) fn trained(&self, data: &Split, start: Option<&[f32]>) -> Result<Network> {
        let mut trainer = Trainer::new(self, data)?;
        if let Some(parameters) = start {
            trainer.set_parameters(parameters)?;
        }
        while !trainer.is_done() {
            check_interrupt()?;
            trainer.step()?;
        }
        if trainer.run.diverged {
            return Err(Error::invalid(format!(
                "the training diverged after {} steps; use a lower learning rate",
                trainer.run.losses.len()
            )));
        }
        Ok(trainer.network())
    }

    pub(crate) fn validate(&self, data: &Dataset) -> Result<()> {
        self.model.validate()?;
        self.optimiser.validate()?;
        self.device.check(self.precision)?;
        fits(self.model, data)?;
        let positive = [
            ("rows_per_step", self.rows_per_step),
            ("steps", self.steps),
            ("evaluate_every", self.evaluate_every),
            ("micro_batches", self.micro_batches),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(Error::invalid(format!("{name} is 0, so nothing would be trained; use at least 1")));
            }
        }
        if self.rows_per_step > data.rows() {
            return Err(Error::invalid(format!(
                "a step of {} rows is larger than the data: {} rows to learn from; use fewer rows per step or more \
                 data",
                self.rows_per_step,
                data.rows()
            )));
        }
        if self.micro_batches > self.rows_per_step {
            return Err(Error::invalid(format!(
                "{} rows can't be cut into {} micro-batches; use at most one for each row",
                self.rows_per_step, self.micro_batches
            )));
        }
        Ok(())
    }
}

impl TrainingRun {
    /// Share of held-out labels that were predicted correctly at the end, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.evaluations.last().map_or(0.0, |last| last.held_out.accuracy)
    }

    /// Held-out loss at the end, in nats.
    pub fn loss(&self) -> f64 {
        self.evaluations.last().map_or(f64::INFINITY, |last| last.held_out.loss)
    }

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let table = Table::new(format!("Training on {}", self.training.data), ["what", "value"])
            .row(["parameters".to_string(), self.training.model.parameters().to_string()])
            .row(["steps".to_string(), self.losses.len().to_string()])
            .row(["held-out loss, nats".to_string(), significant(self.loss())])
            .row(["held-out accuracy, %".to_string(), significant(100.0 * self.accuracy())])
            .row(["seconds in steps".to_string(), significant(self.seconds)]);
        if self.diverged { table.note("The loss stopped being a number: the steps were too large.") } else { table }
    }

    /// The loss against the steps, on the rows that were learned from and on the held-out ones.
    ///
    /// # Errors
    /// None in practice: only finite losses are kept.
    pub fn figure(&self) -> Result<Figure> {
        let steps: Vec<f64> = (0..self.losses.len()).map(|step| step as f64).collect();
        let seen: Vec<f64> = self.evaluations.iter().map(|at| at.step as f64).collect();
        let held_out: Vec<f64> = self.evaluations.iter().map(|at| at.held_out.loss).collect();
        Figure::new("Training").x_label("steps").y_label("loss, nats").line("learned rows", &steps, &self.losses)?.line(
            "held-out rows",
            &seen,
            &held_out,
        )
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }

    pub(super) fn look(&mut self, network: &Network, held_out: &Dataset, step: usize) -> Result<()> {
        let held_out = evaluate(network, held_out)?;
        if !held_out.loss.is_finite() {
            self.diverged = true;
            return Ok(());
        }
        self.evaluations.push(Evaluated { step, held_out });
        if self.training.target_loss.is_some_and(|target| held_out.loss <= target) {
            self.steps_to_target = Some(step);
        }
        Ok(())
    }
}

/// Refuses data whose columns, classes or labels the model has no room for.
pub(crate) fn fits(model: impl Architecture, data: &Dataset) -> Result<()> {
    let (columns, classes) = (data.columns(), data.classes());
    if (model.predictions_per_row() == 1) != (data.labels_per_row() == 1) {
        return Err(Error::invalid(format!(
            "the model predicts {} labels for each row, but the data set '{}' has {}; a Transformer goes with texts, an \
             Mlp or a Convnet with rows that have one label",
            model.predictions_per_row(),
            data.name(),
            data.labels_per_row()
        )));
    }
    if model.columns() != columns || model.classes() < classes {
        return Err(Error::invalid(format!(
            "the model takes {} inputs and tells {} classes apart, but the data set '{}' has {columns} columns and \
             {classes} classes; build it with {}",
            model.columns(),
            model.classes(),
            data.name(),
            model.described_for(columns, classes),
        )));
    }
    Ok(())
}
