//! How long one training step takes in one process.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DataParallel;
use super::measurement::{Bench, mean};
use crate::device::{Device, Precision};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::law::{Placed, Roof};
use crate::machine;
use crate::measure::{Estimate, Provenance};
use crate::model::{Architecture, Model};

/// One sample lasts about this long.
pub(super) const SAMPLE_SECONDS: f64 = 0.2;

/// Times steps of plain gradient descent: forward, back and the change of the parameters, on rows that are in memory.
///
/// ```
/// use onramp::prelude::*;
///
/// let run = StepTime::new(Mlp::new(16)).rows(8).samples(1).run()?;
/// assert!(run.seconds.median > 0.0);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    model: Model,
    rows: usize,
    threads: usize,
    samples: usize,
    #[serde(default)]
    first_core: usize,
    #[serde(default)]
    device: Device,
    #[serde(default)]
    precision: Precision,
}

/// The result of [`StepTime::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTimeRun {
    /// What was timed.
    pub experiment: StepTime,
    /// Seconds of a step; a sample is the mean over about 0.2 s of steps.
    pub seconds: Estimate,
}

impl StepTime {
    /// Steps of 64 rows on one thread, 7 samples.
    pub fn new(model: impl Into<Model>) -> Self {
        Self {
            model: model.into(),
            rows: 64,
            threads: 1,
            samples: 7,
            first_core: 0,
            device: Device::best(),
            precision: Precision::F32,
        }
    }

    /// Rows in a step.
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// Threads that share the work of a step, each tied to a core of its own.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How often the time is taken, after a first time that does not count.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// The core of the first thread, from 0; the others are tied to those after it. Give processes that run at the same
    /// time cores of their own.
    pub fn first_core(mut self, core: usize) -> Self {
        self.first_core = core;
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

    /// Rows in a step.
    pub fn row_count(&self) -> usize {
        self.rows
    }

    /// Takes the time.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an empty model, zero rows, threads or samples, or more threads than cores;
    /// [`Error::Interrupted`] between two steps.
    pub fn run(&self) -> Result<StepTimeRun> {
        let timer = self.timer()?;
        let samples = (0..self.samples).map(|_| timer.sample()).collect::<Result<_>>()?;
        Ok(StepTimeRun { experiment: *self, seconds: Estimate::from_samples(samples)? })
    }

    /// What it has in common with other steps below the same roof.
    pub(super) fn place_of(&self) -> (Device, Precision, usize) {
        (self.device, self.precision, self.threads)
    }

    /// Everything that is needed to take the time, warmed up.
    pub(super) fn timer(&self) -> Result<StepTimer> {
        self.model.validate()?;
        let cores = machine::Machine::detect().physical_cores;
        if self.rows == 0 || self.samples == 0 || self.threads == 0 || self.first_core + self.threads > cores {
            return Err(Error::invalid(format!(
                "{} rows, {} samples and {} threads from core {} on can't be timed on {cores} cores; use at least 1 of \
                 each, and at most a thread for each core",
                self.rows, self.samples, self.threads, self.first_core
            )));
        }
        self.device.check(self.precision)?;
        let worker = DataParallel::new(self.model).rows_per_worker([self.rows]);
        let bench = Bench::new(&worker.device(self.device).precision(self.precision), 1)?;
        let pool = machine::threads_pool(self.threads, self.first_core)?;
        let mut timer = StepTimer { bench, pool, steps: 2 };
        timer.sample()?;
        timer.steps = (SAMPLE_SECONDS / timer.sample()?).ceil().max(1.0) as usize;
        timer.sample()?;
        Ok(timer)
    }
}

/// A model, its rows and its threads, ready to be timed again and again.
pub(super) struct StepTimer {
    bench: Bench,
    pool: rayon::ThreadPool,
    steps: usize,
}

impl StepTimer {
    /// Mean seconds of a step, over about 0.2 s.
    pub(super) fn sample(&self) -> Result<f64> {
        Ok(mean(&self.pool.install(|| self.bench.steps(0, 0, self.steps))?))
    }
}

/// For example `M(256), 64 rows, f32`.
impl fmt::Display for StepTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} rows, {}", self.model, self.rows, self.precision)
    }
}

impl StepTimeRun {
    /// Floating-point operations per second, by [`Architecture::flops_per_row`].
    pub fn flops_per_second(&self) -> Estimate {
        let flops = self.experiment.model.flops_per_row() * self.experiment.rows as f64;
        self.seconds.map(|seconds| flops / seconds)
    }

    /// The step below its machine's roof, with the bytes of [`Architecture::step_bytes`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a run without operations.
    pub fn place(&self, roof: &Roof) -> Result<Placed> {
        let StepTime { model, rows, .. } = self.experiment;
        let intensity = rows as f64 * model.flops_per_row() / model.step_bytes(rows);
        roof.place(format!("{model}, {rows} rows"), intensity, self.flops_per_second(), Provenance::Measured)
    }

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let StepTime { model, rows, threads, device, precision, .. } = self.experiment;
        Table::new("A training step", ["what", "value"])
            .row(["parameters".to_string(), model.parameters().to_string()])
            .row(["rows".to_string(), rows.to_string()])
            .row(["threads".to_string(), threads.to_string()])
            .row(["computed".to_string(), format!("in {precision} on the {device}")])
            .row(["step time, ms".to_string(), self.seconds.map(|seconds| 1e3 * seconds).to_string()])
            .row(["GFLOP/s".to_string(), self.flops_per_second().map(|rate| 1e-9 * rate).to_string()])
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}
