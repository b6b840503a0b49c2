//! How long a model alone takes for a batch of rows: what serving them can't be faster than.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::step_time::SAMPLE_SECONDS;
use crate::device::Device;
use crate::display::Table;
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::machine;
use crate::measure::{Estimate, Provenance, interleaved};
use crate::model::{Architecture, Model, Network};
use crate::training::scores;

const WARMUPS: usize = 1;

/// Times the pass forward of batches of different sizes, in turn, on one thread.
///
/// ```
/// use onramp::prelude::*;
///
/// let run = InferenceTime::new(Mlp::new(16)).rows([1, 8]).samples(1).run()?;
/// assert!(run.seconds[1].median > run.seconds[0].median / 2.0);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceTime {
    model: Model,
    rows: Vec<usize>,
    samples: usize,
    core: usize,
}

/// The result of [`InferenceTime::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceTimeRun {
    /// What was timed.
    pub experiment: InferenceTime,
    /// Seconds of a batch, s(b), for each number of rows b.
    pub seconds: Vec<Estimate>,
}

impl InferenceTime {
    /// Batches of 1, 2, 4, … 64 rows, 7 samples of each.
    pub fn new(model: impl Into<Model>) -> Self {
        Self { model: model.into(), rows: vec![1, 2, 4, 8, 16, 32, 64], samples: 7, core: 0 }
    }

    /// Rows in a batch, for each that is timed.
    pub fn rows(mut self, rows: impl IntoIterator<Item = usize>) -> Self {
        self.rows = rows.into_iter().collect();
        self
    }

    /// How often each time is taken, after a first time that does not count.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// The core that the thread is tied to, from 0.
    pub fn on_core(mut self, core: usize) -> Self {
        self.core = core;
        self
    }

    /// Takes the times.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an empty model, no batch or sample, or a batch without rows; [`Error::Interrupted`].
    pub fn run(&self) -> Result<InferenceTimeRun> {
        if self.rows.contains(&0) {
            return Err(Error::invalid("a batch of 0 rows takes no time; use at least 1 row"));
        }
        let network = self.model.build(0, &Device::Cpu)?;
        let pool = machine::core_pool(self.core)?;
        let batches = self.rows.iter().map(|rows| Batches::new(&network, *rows)).collect::<Result<Vec<_>>>()?;
        let mut variants: Vec<_> = batches.iter().map(|batch| || pool.install(|| batch.sample())).collect();
        let mut borrowed: Vec<&mut dyn FnMut() -> Result<f64>> = Vec::new();
        for variant in &mut variants {
            borrowed.push(variant);
        }
        Ok(InferenceTimeRun { experiment: self.clone(), seconds: interleaved(self.samples, WARMUPS, &mut borrowed)? })
    }
}

/// Batches of one size, as many as last long enough for the clock.
struct Batches<'a> {
    network: &'a Network,
    rows: Vec<f32>,
    count: usize,
}

impl<'a> Batches<'a> {
    fn new(network: &'a Network, rows: usize) -> Result<Self> {
        // The numbers don't matter to the time, but none may be 0 or denormal.
        let values = (0..rows * network.model().columns()).map(|index| ((index % 7) as f32 - 3.5) / 4.0).collect();
        let mut batches = Self { network, rows: values, count: 3 };
        batches.count = (SAMPLE_SECONDS / batches.sample()?).ceil().clamp(1.0, 1e6) as usize;
        Ok(batches)
    }

    /// Mean seconds of a batch.
    fn sample(&self) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..self.count {
            std::hint::black_box(scores(self.network, &self.rows)?);
        }
        Ok(start.elapsed().as_secs_f64() / self.count as f64)
    }
}

impl InferenceTimeRun {
    /// s(b), and the rows that the model alone gets through in a second.
    pub fn table(&self) -> Table {
        let columns = ["rows in a batch", "batch, ms", "rows/s"];
        let title = format!("{} alone, one thread", self.experiment.model);
        self.experiment.rows.iter().zip(&self.seconds).fold(Table::new(title, columns), |table, (rows, seconds)| {
            let rate = seconds.map(|seconds| *rows as f64 / seconds);
            table.row([rows.to_string(), seconds.map(|seconds| 1e3 * seconds).to_string(), rate.to_string()])
        })
    }

    /// s(b) over b.
    ///
    /// # Errors
    /// As for [`Figure::points`].
    pub fn figure(&self) -> Result<Figure> {
        let rows: Vec<f64> = self.experiment.rows.iter().map(|rows| *rows as f64).collect();
        let times: Vec<Estimate> = self.seconds.iter().map(|seconds| seconds.map(|seconds| 1e3 * seconds)).collect();
        Figure::new("Time of a batch").x_label("rows in a batch").y_label("time in ms").log_x().log_y().points(
            self.experiment.model.to_string(),
            Provenance::Measured,
            &rows,
            &times,
        )
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
