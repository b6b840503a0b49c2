//! Time to the same loss: what a learner of a model waits for, other than rows per second.
//!
//! With p workers of b rows each a step learns from B = p b rows. A mean over more rows is a better gradient, so
//! fewer steps are needed, but from some B on not p times fewer: then part of the extra work is
//! wasted, and the speed-up to the same loss stays below the speed-up in throughput.
//!
//! The steps are counted by really training with batches of B rows, which gives the same gradients as p workers
//! with b rows each. Only how long a step takes is replayed.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::data_parallel::DataParallel;
use super::time_to_loss_run::{LossPoint, TimeToLossRun};
use crate::communication::Link;
use crate::data::{Source, Split};
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::judgement::Prediction;
use crate::machine::{self, Machine};
use crate::model::Model;
use crate::training::{Training, TrainingRun};

/// Held-out rows that the loss is taken over: enough for its second digit, few enough to look often.
const HELD_OUT_ROWS: usize = 800;
/// The loss is looked at after every step of this many rows, and after as many steps as make them up when they
/// are smaller.
const ROWS_BETWEEN_LOOKS: usize = 256;

/// How the learning rate follows the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateRule {
    /// The same for every batch.
    Constant,
    /// p times the rate of one worker (Goyal et al. 2017, "Accurate, Large Minibatch SGD").
    #[default]
    Linear,
    /// The square root of p times the rate of one worker.
    SquareRoot,
}

impl RateRule {
    /// The factor on one worker's learning rate.
    fn factor(self, workers: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => workers as f64,
            Self::SquareRoot => (workers as f64).sqrt(),
        }
    }
}

/// Trains the same model with the batches of 1, 2, 4 and more workers until the held-out loss is low enough.
///
/// ```no_run
/// use onramp::prelude::*;
///
/// let guess = predict("How many times as fast do 8 workers reach the same loss?", times(4.0))?;
/// let run = TimeToLoss::new(Mlp::new(256)).workers([1, 2, 4, 8]).run(&guess)?;
/// run.evcxr_display();
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeToLoss {
    pub(super) model: Model,
    pub(super) data: Source,
    pub(super) workers: Vec<usize>,
    pub(super) rows_per_worker: usize,
    pub(super) link: Link,
    pub(super) target_loss: f64,
    pub(super) learning_rate: f64,
    pub(super) rate_rule: RateRule,
    pub(super) most_steps: usize,
    pub(super) seeds: usize,
}

impl TimeToLoss {
    /// 1, 2, 4 and 8 workers with 64 rows each on a local network, to a loss of 0.85 on 8,000 teacher-labelled rows;
    /// a learning rate of 0.05 for one worker and p times as much for p; 3 seeds.
    pub fn new(model: impl Into<Model>) -> Self {
        Self {
            model: model.into(),
            data: Source::teacher(8_000),
            workers: vec![1, 2, 4, 8],
            rows_per_worker: 64,
            link: Link::lan(),
            target_loss: 0.85,
            learning_rate: 0.05,
            rate_rule: RateRule::default(),
            most_steps: 600,
            seeds: 3,
        }
    }

    /// The data to learn from. The model's inputs must fit its columns.
    pub fn data(mut self, data: Source) -> Self {
        self.data = data;
        self
    }

    /// The numbers of workers, p. One worker is the baseline and is always run.
    pub fn workers(mut self, workers: impl IntoIterator<Item = usize>) -> Self {
        self.workers = workers.into_iter().collect();
        self
    }

    /// Rows that each worker has in a step, b.
    pub fn rows_per_worker(mut self, rows: usize) -> Self {
        self.rows_per_worker = rows;
        self
    }

    /// The link between the workers.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The held-out loss to reach, in nats. Guessing among 10 classes has 2.30.
    pub fn target_loss(mut self, loss: f64) -> Self {
        self.target_loss = loss;
        self
    }

    /// One worker's learning rate, and how it changes with the number of workers.
    pub fn learning_rate(mut self, rate: f64, rule: RateRule) -> Self {
        self.learning_rate = rate;
        self.rate_rule = rule;
        self
    }

    /// Steps after which a training that has not reached the loss is given up.
    pub fn most_steps(mut self, steps: usize) -> Self {
        self.most_steps = steps;
        self
    }

    /// How many trainings with other first weights and another order of rows are done for each number of workers.
    pub fn seeds(mut self, seeds: usize) -> Self {
        self.seeds = seeds;
        self
    }

    /// Counts the steps, measures one worker's step, and replays it for more.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero workers, rows or seeds, a batch larger than the data, or a prediction that is
    /// not in times; [`Error::NothingVaried`] when only one worker is asked for.
    pub fn run(&self, prediction: &Prediction) -> Result<TimeToLossRun> {
        let experiment = self.completed(prediction)?;
        let mut data = experiment.data.load(0)?;
        let looked_at: Vec<usize> = (0..HELD_OUT_ROWS.min(data.held_out.rows())).collect();
        data.held_out = data.held_out.select(&looked_at);
        // Everything about time comes from the throughput experiment, so both tell of the same machine.
        let timing = DataParallel::new(experiment.model)
            .workers(experiment.workers.iter().copied())
            .rows_per_worker([experiment.rows_per_worker])
            .link(experiment.link.clone())
            .asked_about(experiment.most_workers(), experiment.rows_per_worker)
            .run(prediction)?;
        let runs = experiment.train_all(&data)?;
        let mut points = Vec::new();
        for (&workers, runs) in experiment.workers.iter().zip(runs.chunks(experiment.seeds)) {
            let step = timing.replayed_point(workers, experiment.rows_per_worker)?;
            points.push(LossPoint::new(step, runs)?);
        }
        Ok(TimeToLossRun::new(experiment, prediction.clone(), Machine::detect(), points))
    }

    pub(super) fn most_workers(&self) -> usize {
        self.workers.iter().copied().max().unwrap_or(1)
    }

    /// The training that p workers do together.
    fn training(&self, workers: usize, seed: usize) -> Training {
        Training::new(self.model)
            .data(self.data.clone())
            .rows_per_step(workers * self.rows_per_worker)
            .learning_rate(self.learning_rate * self.rate_rule.factor(workers))
            .steps(self.most_steps)
            .evaluate_every((ROWS_BETWEEN_LOOKS / (workers * self.rows_per_worker)).max(1))
            .stop_at_loss(self.target_loss)
            .seed(seed as u64)
    }

    /// All trainings, by workers and then by seed. They don't disturb each other: each has a core, and only their
    /// steps are counted.
    fn train_all(&self, data: &Split) -> Result<Vec<TrainingRun>> {
        let mut jobs = Vec::new();
        for &workers in &self.workers {
            jobs.extend((0..self.seeds).map(|seed| self.training(workers, seed)));
        }
        // The longest ones first, so that no core is left with one of them at the end.
        let order: Vec<usize> = (0..jobs.len()).rev().collect();
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<Option<Result<TrainingRun>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
        let progress = Mutex::new(Progress::new("trainings to the same loss", Some(jobs.len())));
        let pools = (0..Machine::detect().physical_cores).map(machine::core_pool).collect::<Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            for pool in &pools {
                let work = || {
                    pool.install(|| {
                        while let Some(&job) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let run = jobs[job].run_on(data);
                            done.lock().unwrap_or_else(PoisonError::into_inner)[job] = Some(run);
                            progress.lock().unwrap_or_else(PoisonError::into_inner).advance(1);
                        }
                    })
                };
                scope.spawn(work);
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.into_iter()
            .map(|run| {
                run.unwrap_or_else(|| {
                    Err(Error::Worker("a training stopped without a result; run the cell again".to_string()))
                })
            })
            .collect()
    }

    fn completed(&self, prediction: &Prediction) -> Result<Self> {
        if prediction.unit() != "times" {
            return Err(Error::invalid(format!(
                "the prediction is in {}, but this experiment answers how many times as fast the loss is \
                 reached; use times(4.0)",
                prediction.unit()
            )));
        }
        for (name, value) in
            [("rows_per_worker", self.rows_per_worker), ("most_steps", self.most_steps), ("seeds", self.seeds)]
        {
            if value == 0 {
                return Err(Error::invalid(format!("{name} is 0, so nothing would be trained; use at least 1")));
            }
        }
        if self.workers.is_empty() || self.workers.contains(&0) {
            return Err(Error::invalid(format!(
                "the list of workers is {:?}; use numbers from 1 up, such as .workers([1, 2, 4, 8])",
                self.workers
            )));
        }
        if !(self.target_loss.is_finite() && self.target_loss > 0.0) {
            return Err(Error::invalid(format!(
                "the target loss is {}; use a number above 0 and below the 2.30 of guessing, such as 0.85",
                self.target_loss
            )));
        }
        let mut complete = self.clone();
        complete.workers.push(1);
        complete.workers.sort_unstable();
        complete.workers.dedup();
        if complete.workers == [1] {
            return Err(Error::NothingVaried(
                "1 worker would be compared with itself; ask for more, such as .workers([1, 2, 4, 8])".to_string(),
            ));
        }
        Ok(complete)
    }
}
