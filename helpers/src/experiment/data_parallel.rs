//! Data-parallel training: p workers with the same model, each with its own rows, their gradients averaged.

use serde::{Deserialize, Serialize};

use super::measurement;
use super::scaling_run::ScalingRun;
use crate::communication::{Algorithm, Link, Synchronisation};
use crate::device::{Device, Precision};
use crate::error::{Error, Result};
use crate::judgement::Prediction;
use crate::model::{Architecture, Model};

/// The replay's work grows with the square of the workers; this many still take about a second.
const MOST_WORKERS: usize = 256;

/// Measures the throughput of p workers against the rows that each has in a step.
///
/// [`DataParallel::run`] wants a prediction, so that nobody sees a result without having guessed it first:
///
/// ```no_run
/// use onramp::prelude::*;
///
/// let guess = predict("8 workers, 128 rows each, 1 Gb/s link: how many times one worker's throughput?", times(4.0))?;
/// let run = DataParallel::new(Mlp::new(256))
///     .workers([1, 2, 4, 8])
///     .rows_per_worker([8, 32, 128, 512, 2048])
///     .link(Link::lan())
///     .run(&guess)?;
/// run.evcxr_display();
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataParallel {
    pub(super) model: Model,
    pub(super) workers: Vec<usize>,
    pub(super) rows_per_worker: Vec<usize>,
    pub(super) link: Link,
    pub(super) algorithm: Algorithm,
    pub(super) synchronisation: Synchronisation,
    pub(super) data_rows: Option<usize>,
    pub(super) repeats: usize,
    pub(super) asked_about: Option<(usize, usize)>,
    #[serde(default)]
    pub(super) device: Device,
    #[serde(default)]
    pub(super) precision: Precision,
}

impl DataParallel {
    /// 1, 2, 4 and 8 workers with 8 to 2,048 rows each, which sum their gradients around a ring on a local
    /// network; 7 repeats.
    pub fn new(model: impl Into<Model>) -> Self {
        Self {
            model: model.into(),
            workers: vec![1, 2, 4, 8],
            rows_per_worker: vec![8, 32, 128, 512, 2048],
            link: Link::lan(),
            algorithm: Algorithm::default(),
            synchronisation: Synchronisation::default(),
            data_rows: None,
            repeats: 7,
            asked_about: None,
            device: Device::best(),
            precision: Precision::F32,
        }
    }

    /// The numbers of workers, p. One worker is the baseline of all the others and is always measured.
    pub fn workers(mut self, workers: impl IntoIterator<Item = usize>) -> Self {
        self.workers = workers.into_iter().collect();
        self
    }

    /// The rows that each worker has in a step, b. With p workers a step learns from p times as many.
    pub fn rows_per_worker(mut self, rows: impl IntoIterator<Item = usize>) -> Self {
        self.rows_per_worker = rows.into_iter().collect();
        self
    }

    /// The link between the workers.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// How the gradients are summed.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How the gradients are packed into messages.
    pub fn synchronisation(mut self, synchronisation: Synchronisation) -> Self {
        self.synchronisation = synchronisation;
        self
    }

    /// The size of the data set. Without it, the set is as large as the largest step.
    pub fn data_rows(mut self, rows: usize) -> Self {
        self.data_rows = Some(rows);
        self
    }

    /// How often each timing is repeated; fewer than 7 make the intervals too narrow to trust.
    pub fn repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// The numbers of workers and of rows per worker that the prediction is about. They are measured even when
    /// the lists leave them out. Without this the prediction is about the most workers and the middle of the rows.
    pub fn asked_about(mut self, workers: usize, rows_per_worker: usize) -> Self {
        self.asked_about = Some((workers, rows_per_worker));
        self
    }

    /// Where each worker's model lives. Without this, on the GPU if there is one: then the steps of one worker are
    /// measured on it, all further workers are replayed as if each had one, and none is emulated.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// In which numbers the passes compute.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Measures, emulates and replays.
    ///
    /// Steps of one worker are *measured*: alone on a core, with one thread, interleaved between the row counts.
    /// Up to one worker per core runs for real, as threads over a link slowed down to the asked one (*emulated*;
    /// links too fast for that are left out, and so are further workers when a slow link would take all the time).
    /// All worker counts above one are *replayed*: the measured steps, on a virtual
    /// clock, with each message of the all-reduce. Where both exist the result shows both.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero workers, zero rows, more rows in a step than the data set has, or a
    /// prediction that is not in times, percent or rows; [`Error::NothingVaried`] when only one worker is asked for;
    /// [`Error::Worker`] when a worker stops.
    pub fn run(&self, prediction: &Prediction) -> Result<ScalingRun> {
        let experiment = self.completed(prediction)?;
        measurement::measure(experiment, prediction)
    }

    /// The workers and rows per worker that the prediction is about.
    pub(super) fn question(&self) -> (usize, usize) {
        let most = self.workers.iter().copied().max().unwrap_or(1);
        let middle = self.rows_per_worker.get(self.rows_per_worker.len() / 2).copied().unwrap_or(1);
        self.asked_about.unwrap_or((most, middle))
    }

    /// Seconds of a step's all-reduce by the algorithm's formula.
    pub(super) fn communication_seconds(&self, workers: usize) -> f64 {
        self.synchronisation.seconds(&self.model, self.algorithm, &self.link, workers)
    }

    /// This experiment checked, its lists sorted, without repetitions, and with the baseline and the question in them.
    fn completed(&self, prediction: &Prediction) -> Result<Self> {
        self.validate(prediction)?;
        let mut complete = self.clone();
        complete.asked_about = Some(self.question());
        complete.workers.push(1);
        complete.workers.extend(self.asked_about.map(|(workers, _)| workers));
        complete.rows_per_worker.extend(self.asked_about.map(|(_, rows)| rows));
        for list in [&mut complete.workers, &mut complete.rows_per_worker] {
            list.sort_unstable();
            list.dedup();
        }
        if complete.workers == [1] {
            return Err(Error::NothingVaried(
                "1 worker would be compared with itself; ask for more, such as .workers([1, 2, 4, 8])".to_string(),
            ));
        }
        Ok(complete)
    }

    fn validate(&self, prediction: &Prediction) -> Result<()> {
        self.model.validate()?;
        self.synchronisation.validate()?;
        self.device.check(self.precision)?;
        if !matches!(prediction.unit(), "times" | "%" | "rows") {
            return Err(Error::invalid(format!(
                "the prediction is a {}, but this experiment answers how many times one worker's throughput \
                 (times(4.0)), how efficient (percent(50.0)) or from how many rows on at least half (rows(500.0))",
                prediction.unit()
            )));
        }
        if self.repeats == 0 {
            return Err(Error::invalid(
                "0 repeats measure nothing; use at least 7 for an interval that can be trusted",
            ));
        }
        let asked = self.asked_about.iter();
        let workers: Vec<usize> =
            self.workers.iter().copied().chain(asked.clone().map(|(workers, _)| *workers)).collect();
        let rows: Vec<usize> = self.rows_per_worker.iter().copied().chain(asked.map(|(_, rows)| *rows)).collect();
        let (Some(most_workers), Some(most_rows)) = (workers.iter().max(), rows.iter().max()) else {
            return Err(Error::invalid(
                "the list of workers or of rows per worker is empty; use lists such as .workers([1, 2, 4, 8]) and \
                 .rows_per_worker([8, 32, 128, 512, 2048])",
            ));
        };
        if workers.contains(&0) {
            return Err(Error::invalid(format!(
                "0 workers do no work, but the list {workers:?} asks for them; use numbers from 1 up"
            )));
        }
        if rows.contains(&0) {
            return Err(Error::invalid(format!(
                "a step of 0 rows has no gradient, but the list {rows:?} asks for it; use numbers from 1 up"
            )));
        }
        if *most_workers > MOST_WORKERS {
            return Err(Error::invalid(format!(
                "{most_workers} workers are more than the replay can play in reasonable time; use up to {MOST_WORKERS}"
            )));
        }
        let data_rows = self.data_rows.unwrap_or(usize::MAX);
        if most_workers.saturating_mul(*most_rows) > data_rows {
            return Err(Error::invalid(format!(
                "{most_workers} workers with {most_rows} rows each need {} rows for one step, but the data set has \
                 {data_rows}; use fewer rows per worker, fewer workers, or .data_rows({})",
                most_workers.saturating_mul(*most_rows),
                most_workers.saturating_mul(*most_rows)
            )));
        }
        Ok(())
    }
}
