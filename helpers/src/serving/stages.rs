//! Rows on their way from a file to an answer, stage by stage: which stage sets the pace?
//!
//! With t_i the seconds of stage i for one batch and n batches,
//!
//! ```text
//! one after the other     n sum t
//! as a pipeline           sum t + (n - 1) max(max t, sum t / cores)
//! ```
//!
//! The first batch has to pass all stages (the pipeline fills); from then on one batch leaves with each tick of the slowest
//! stage, or as often as the cores can do all of the work. A stage made k times faster changes t of that stage alone, so the gain
//! is known before it is built.

use serde::{Deserialize, Serialize};

use super::stages_run::{StageTime, StagesRun, WayTimes};
use super::stages_work::Work;
use crate::error::{Error, Result};
use crate::machine::{self, Machine};
use crate::measure::{Estimate, interleaved};

/// Samples of each time.
const REPEATS: usize = 5;
/// Each stage does its work so many times over, so that a run takes much longer than the operating system's slices of time.
const OFTEN: usize = 3;

/// A part of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes of a CSV file, and their checksum.
    Read,
    /// From text to numbers.
    Parse,
    /// From numbers to features: all products of two of them.
    Featurise,
    /// A training step, or the answers of the model.
    Model,
    /// From answers to JSON.
    Encode,
}

impl Stage {
    /// All stages, in the order of the way.
    pub const ALL: [Stage; 5] = [Stage::Read, Stage::Parse, Stage::Featurise, Stage::Model, Stage::Encode];

    /// Its name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Parse => "parse",
            Stage::Featurise => "featurise",
            Stage::Model => "model",
            Stage::Encode => "encode",
        }
    }

    /// The box of the course's picture that it belongs to, when the model trains or answers.
    pub fn belongs_to(self, trains: bool) -> &'static str {
        match self {
            Stage::Read | Stage::Parse => "storage",
            Stage::Featurise | Stage::Model if trains => "training",
            _ => "serving",
        }
    }
}

/// 20,000 rows on their way, as they are and with one stage made faster.
///
/// The stage is really faster: at first each stage does its work several times over for each batch; then the chosen one
/// does it `factor` times less often.
///
/// ```no_run
/// use onramp::serving::{Stage, Stages};
///
/// let run = Stages::new().faster(Stage::Model, 4).run()?;
/// println!("predicted {}, measured {}", run.pipelined.predicted_gain, run.pipelined.gain());
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    pub(super) rows: usize,
    pub(super) batch_rows: usize,
    pub(super) trains: bool,
    pub(super) weights: [usize; 5],
    pub(super) chosen: Stage,
    pub(super) factor: usize,
}

impl Default for Stages {
    fn default() -> Self {
        Self::new()
    }
}

impl Stages {
    /// 20,000 rows in batches of 200 to a model that answers; its stage is made 4 times faster.
    pub fn new() -> Self {
        Self { rows: 20_000, batch_rows: 200, trains: false, weights: [1; 5], chosen: Stage::Model, factor: 4 }
    }

    /// How many rows pass, and how many at once.
    pub fn rows(mut self, rows: usize, in_a_batch: usize) -> Self {
        (self.rows, self.batch_rows) = (rows, in_a_batch);
        self
    }

    /// The model learns from each batch instead of answering.
    pub fn training(mut self) -> Self {
        self.trains = true;
        self
    }

    /// This stage does its work so many times as often as the others: a way to choose the bottleneck.
    pub fn weight(mut self, stage: Stage, times: usize) -> Self {
        self.weights[stage as usize] = times;
        self
    }

    /// The stage that is made so many times faster.
    pub fn faster(mut self, stage: Stage, factor: usize) -> Self {
        (self.chosen, self.factor) = (stage, factor);
        self
    }

    /// Times the stages and both ways, before and after.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no rows, batches or weights; [`Error::NothingVaried`] for a factor of 1;
    /// [`Error::Io`] when the temporary file can't be written; [`Error::Interrupted`].
    pub fn run(&self) -> Result<StagesRun> {
        self.validate()?;
        let work = Work::new(self)?;
        let before = self.weights.map(|weight| OFTEN * weight * self.factor);
        let mut after = before;
        after[self.chosen as usize] /= self.factor;
        let core = machine::core_pool(0)?;
        let mut stage_seconds: [Vec<f64>; 5] = Default::default();
        let serial = |repeats: [usize; 5]| core.install(|| work.serial(repeats));
        let seconds = interleaved(
            REPEATS,
            1,
            &mut [
                &mut || {
                    let times = serial(before)?;
                    stage_seconds.iter_mut().zip(times).for_each(|(samples, seconds)| samples.push(seconds));
                    Ok(times.iter().sum())
                },
                &mut || Ok(serial(after)?.iter().sum()),
                &mut || work.pipelined(before),
                &mut || work.pipelined(after),
            ],
        )?;
        let batches = work.batches() as f64;
        let stages = Stage::ALL.into_iter().zip(stage_seconds).map(|(stage, samples)| {
            // The first round warms up.
            let per_batch = samples.into_iter().skip(1).map(|seconds| seconds / batches).collect();
            Ok(StageTime { stage, seconds: Estimate::from_samples(per_batch)? })
        });
        let stages = stages.collect::<Result<Vec<_>>>()?;
        let machine = Machine::detect();
        let [serial, faster_serial, pipelined, faster_pipelined]: [Estimate; 4] =
            seconds.try_into().map_err(|_| Error::TooFewPoints("not every way was timed; run it again".into()))?;
        let predict = |way: fn(&[f64], f64, f64) -> f64| {
            let before: Vec<f64> = stages.iter().map(|stage| stage.seconds.median).collect();
            let mut after = before.clone();
            after[self.chosen as usize] /= self.factor as f64;
            let cores = machine.physical_cores as f64;
            [way(&before, batches, cores), way(&after, batches, cores)]
        };
        Ok(StagesRun {
            serial: WayTimes::new(
                serial,
                faster_serial,
                predict(|times, batches, _| batches * times.iter().sum::<f64>()),
            ),
            pipelined: WayTimes::new(pipelined, faster_pipelined, predict(pipelined_seconds)),
            stages,
            machine,
            experiment: self.clone(),
        })
    }

    fn validate(&self) -> Result<()> {
        if self.batch_rows == 0 || self.rows < 2 * self.batch_rows || self.weights.contains(&0) || self.factor == 0 {
            return Err(Error::invalid(format!(
                "{} rows in batches of {} through stages with the weights {:?}, one of them {} times faster, can't be timed; \
                 use two batches or more, and weights and a factor of at least 1",
                self.rows, self.batch_rows, self.weights, self.factor
            )));
        }
        if self.factor == 1 {
            return Err(Error::NothingVaried(format!(
                "the stage '{}' is made 1 times faster, so both runs are the same; use a factor such as 4",
                self.chosen.label()
            )));
        }
        Ok(())
    }
}

/// The law of a pipeline: see the head of this module.
pub(super) fn pipelined_seconds(stage_seconds: &[f64], batches: f64, cores: f64) -> f64 {
    let sum: f64 = stage_seconds.iter().sum();
    let slowest = stage_seconds.iter().copied().fold(0.0, f64::max);
    sum + (batches - 1.0) * slowest.max(sum / cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_of_a_pipeline_has_both_regimes() {
        // One slow stage of 4 on many cores sets the pace; on two cores the work of all 10 does.
        assert_eq!(pipelined_seconds(&[1.0, 4.0, 3.0, 2.0], 11.0, 8.0), 10.0 + 10.0 * 4.0);
        assert_eq!(pipelined_seconds(&[1.0, 4.0, 3.0, 2.0], 11.0, 2.0), 10.0 + 10.0 * 5.0);
        assert_eq!(pipelined_seconds(&[1.0, 4.0], 1.0, 2.0), 5.0);
    }
}
