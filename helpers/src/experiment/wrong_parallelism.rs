//! Mistakes in parallel training, each run beside the right way.

use serde::{Deserialize, Serialize};

use super::mistake::Mistake;
use super::wrong_parallelism_run::{Attempt, WrongParallelismRun};
use crate::communication::{Communicator, Synchronisation, Team, ThreadCommunicator};
use crate::data::{Batch, Dataset, Source, Split, digits};
use crate::device::Device;
use crate::display::progress;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::judgement::Prediction;
use crate::model::{Architecture, Mlp, Network};
use crate::training::{Gradients, Optimiser, evaluate, fits};

/// Trains with several workers, once correctly and once with each [`Mistake`].
///
/// All runs begin with the same weights. The workers are threads, and nothing is timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongParallelism {
    model: Mlp,
    data: Source,
    pub(super) workers: usize,
    rows_per_worker: usize,
    pub(super) steps: usize,
    learning_rate: f64,
    mistakes: Vec<Mistake>,
}

impl WrongParallelism {
    /// 4 workers with 16 rows each, 200 steps on the handwritten digits, and all three mistakes.
    pub fn new(model: Mlp) -> Self {
        Self {
            model: model.inputs(digits::COLUMNS),
            data: Source::Digits,
            workers: 4,
            rows_per_worker: 16,
            steps: 200,
            learning_rate: 0.5,
            mistakes: Mistake::ALL.to_vec(),
        }
    }

    /// How many workers, at least two.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Rows that each worker has in a step.
    pub fn rows_per_worker(mut self, rows: usize) -> Self {
        self.rows_per_worker = rows;
        self
    }

    /// Steps of each run.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The learning rate of the right way.
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// Only these mistakes.
    pub fn mistakes(mut self, mistakes: impl IntoIterator<Item = Mistake>) -> Self {
        self.mistakes = mistakes.into_iter().collect();
        self
    }

    /// Runs the right way and each mistake.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero rows or steps, more rows than a worker's share of the data, or a prediction that
    /// is not a choice;
    /// [`Error::NothingVaried`] for less than two workers or no mistake; [`Error::Data`] when the digits can't be read.
    pub fn run(&self, prediction: &Prediction) -> Result<WrongParallelismRun> {
        if prediction.unit() != "choice" {
            return Err(Error::invalid(format!(
                "the prediction is in {}, but this experiment answers which mistake ends with the lowest accuracy; use \
                 choice(\"sum for mean\", [\"unsorted variables\", \"sum for mean\", \"unshuffled shards\"])",
                prediction.unit()
            )));
        }
        let data = self.data.load(0)?;
        self.validate(&data.train)?;
        let right_and_wrong: Vec<_> = std::iter::once(None).chain(self.mistakes.iter().copied().map(Some)).collect();
        let right_and_wrong = progress("training, right and wrong", right_and_wrong);
        let attempts = right_and_wrong.map(|mistake| self.attempt(mistake, &data)).collect::<Result<Vec<_>>>()?;
        Ok(WrongParallelismRun { experiment: self.clone(), prediction: prediction.clone(), attempts })
    }

    fn attempt(&self, mistake: Option<Mistake>, data: &Split) -> Result<Attempt> {
        let rows = match mistake {
            Some(Mistake::UnshuffledShards) => data.train.sorted_by_class(),
            _ => data.train.clone(),
        };
        let shards = (0..self.workers).map(|rank| rows.shard(rank, self.workers)).collect::<Result<Vec<_>>>()?;
        let reference = self.joined_gradient(&shards)?;
        let results =
            Team::new(self.workers)?.run(|mut worker| self.work(mistake, &mut worker, &shards, data, &reference))?;
        results.into_iter().next().ok_or_else(|| Error::Worker("a team without workers has no result".to_string()))
    }

    /// What each worker does; all return the same but for their own model's evaluation.
    fn work(
        &self,
        mistake: Option<Mistake>,
        worker: &mut ThreadCommunicator,
        shards: &[Dataset],
        data: &Split,
        reference: &Gradients,
    ) -> Result<Attempt> {
        let network = self.model.build(0, &Device::best())?;
        let mut optimiser = Optimiser::sgd(self.learning_rate).start(&network)?;
        let shard = &shards[worker.rank()];
        let mut attempt = Attempt { mistake, gradient_error: 0.0, drift: None, losses: Vec::new(), held_out: None };
        for step in 0..self.steps {
            check_interrupt()?;
            let batch = self.batch(shard, step, network.device())?;
            let (loss, mut gradients) = Gradients::of(&network, &batch)?;
            Mistake::average(mistake, Synchronisation::default(), &mut gradients, worker)?;
            if step == 0 {
                attempt.gradient_error = gradients.relative_error(reference)?;
            }
            optimiser.step(&network, &gradients)?;
            // All workers get the same mean, so all of them stop at the same step.
            let mut mean = [loss as f32];
            worker.all_reduce_sum(&mut mean)?;
            let mean = f64::from(mean[0]) / self.workers as f64;
            if !mean.is_finite() {
                return Ok(attempt);
            }
            attempt.losses.push(mean);
        }
        attempt.drift = drift(&network, worker)?;
        let held_out = evaluate(&network, &data.held_out)?;
        attempt.held_out = held_out.loss.is_finite().then_some(held_out);
        Ok(attempt)
    }

    /// The gradient of one worker on the first rows of all shards together.
    fn joined_gradient(&self, shards: &[Dataset]) -> Result<Gradients> {
        let network = self.model.build(0, &Device::best())?;
        let batches = shards.iter().map(|shard| self.batch(shard, 0, network.device())).collect::<Result<Vec<_>>>()?;
        let features: Vec<_> = batches.iter().map(|batch| &batch.features).collect();
        let labels: Vec<_> = batches.iter().map(|batch| &batch.labels).collect();
        let joined =
            Batch { features: candle_core::Tensor::cat(&features, 0)?, labels: candle_core::Tensor::cat(&labels, 0)? };
        Ok(Gradients::of(&network, &joined)?.1)
    }

    /// A shard's rows of a step, in the shard's own order, from the start again when it is used up.
    fn batch(&self, shard: &Dataset, step: usize, device: &candle_core::Device) -> Result<Batch> {
        let steps = shard.rows() / self.rows_per_worker;
        let start = (step % steps) * self.rows_per_worker;
        shard.batch_range(start, start + self.rows_per_worker, device)
    }

    fn validate(&self, data: &Dataset) -> Result<()> {
        fits(self.model, data)?;
        for (name, value) in [("rows_per_worker", self.rows_per_worker), ("steps", self.steps)] {
            if value == 0 {
                return Err(Error::invalid(format!("{name} is 0, so nothing would be trained; use at least 1")));
            }
        }
        if self.workers < 2 || self.mistakes.is_empty() {
            return Err(Error::NothingVaried(format!(
                "{} workers and {} mistakes leave nothing to get wrong; use at least 2 workers and 1 mistake",
                self.workers,
                self.mistakes.len()
            )));
        }
        let share = data.rows() / self.workers;
        if self.rows_per_worker > share {
            return Err(Error::invalid(format!(
                "a batch of {} rows is larger than a worker's share of the data: {share} of {} rows; use fewer rows \
                 per worker or fewer workers",
                self.rows_per_worker,
                data.rows()
            )));
        }
        Ok(())
    }
}

/// The largest relative distance of any worker's parameters from those of worker 0, told to all of them.
fn drift(network: &Network, worker: &mut ThreadCommunicator) -> Result<Option<f64>> {
    let own = network.parameters()?;
    let mut first = own.clone();
    worker.broadcast(&mut first, 0)?;
    let square = |value: f32| f64::from(value) * f64::from(value);
    let difference: f64 = own.iter().zip(&first).map(|(own, its)| square(own - its)).sum();
    let length: f64 = first.iter().map(|value| square(*value)).sum();
    // Each worker tells its own distance in its own place.
    let mut distances = vec![0.0; worker.world_size()];
    distances[worker.rank()] = (difference / length.max(f64::MIN_POSITIVE)).sqrt() as f32;
    worker.all_reduce_sum(&mut distances)?;
    let largest = f64::from(distances.into_iter().fold(0.0, f32::max));
    Ok((largest.is_finite() && length.is_finite()).then_some(largest))
}
