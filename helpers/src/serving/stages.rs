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

use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::stages_run::{StageTime, StagesRun, WayTimes};
use crate::data::{Batch, Teacher};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::machine::{self, Machine};
use crate::measure::{Estimate, interleaved};
use crate::model::{Architecture, Mlp, Network};
use crate::training::{Gradients, Optimiser, OptimiserState, scores};

/// Numbers in a row of the file.
const COLUMNS: usize = 16;
/// They and all products of two of them.
const FEATURES: usize = COLUMNS + COLUMNS * (COLUMNS + 1) / 2;
/// Samples of each time.
const REPEATS: usize = 5;
/// Batches that wait between two stages.
const WAITING: usize = 4;
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

/// What passes from stage to stage.
#[derive(Default)]
struct Item {
    number: usize,
    bytes: Vec<u8>,
    numbers: Vec<f32>,
    labels: Vec<u32>,
    features: Vec<f32>,
    answers: Vec<Answer>,
    encoded: String,
}

/// The file, and what each stage needs.
struct Work {
    trains: bool,
    file: std::fs::File,
    /// Where each batch begins in the file, and where the last one ends.
    starts: Vec<u64>,
    checksums: Vec<[u8; 32]>,
    network: Network,
    /// Only the stage of the model takes it.
    optimiser: Mutex<OptimiserState>,
}

impl Work {
    fn new(stages: &Stages) -> Result<Self> {
        let data = Teacher::new(stages.rows).columns(COLUMNS).generate()?;
        let action = |cause| Error::io("a temporary file with the rows can't be written", cause);
        let file = tempfile::tempfile().map_err(action)?;
        let (mut starts, mut checksums) = (vec![0], Vec::new());
        let mut start = 0;
        // What does not fill a batch is left out.
        for batch in 0..stages.rows / stages.batch_rows {
            check_interrupt()?;
            let mut text = String::new();
            for row in batch * stages.batch_rows..(batch + 1) * stages.batch_rows {
                // Writing to a string can't fail.
                for value in data.row(row) {
                    let _ = write!(text, "{value},");
                }
                let _ = writeln!(text, "{}", data.labels()[row]);
            }
            file.write_all_at(text.as_bytes(), start).map_err(action)?;
            start += text.len() as u64;
            starts.push(start);
            checksums.push(Sha256::digest(text.as_bytes()).into());
        }
        let network = Mlp::new(64).inputs(FEATURES).build(0, &Device::Cpu)?;
        // Small steps: the features are not scaled, and what is learned is not looked at.
        let optimiser = Mutex::new(Optimiser::sgd(1e-3).start(&network)?);
        Ok(Self { trains: stages.trains, file, starts, checksums, network, optimiser })
    }

    fn batches(&self) -> usize {
        self.checksums.len()
    }

    /// All batches, each through all stages on the calling thread; seconds of each stage over all batches.
    fn serial(&self, repeats: [usize; 5]) -> Result<[f64; 5]> {
        let mut seconds = [0.0; 5];
        for number in 0..self.batches() {
            check_interrupt()?;
            let mut item = Item { number, ..Item::default() };
            for (stage, seconds) in Stage::ALL.into_iter().zip(&mut seconds) {
                let start = Instant::now();
                self.work(stage, &mut item, repeats)?;
                *seconds += start.elapsed().as_secs_f64();
            }
        }
        Ok(seconds)
    }

    /// All batches, each stage on a thread of its own; seconds until the last batch has left.
    fn pipelined(&self, repeats: [usize; 5]) -> Result<f64> {
        let pools = Stage::ALL.into_iter().map(|_| one_thread()).collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        let ends: Vec<std::thread::Result<Result<()>>> = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut from: Option<Receiver<Item>> = None;
            for (stage, pool) in Stage::ALL.into_iter().zip(&pools) {
                let (to, next) = sync_channel(WAITING);
                let (own, to) = (from.replace(next), if stage == Stage::Encode { None } else { Some(to) });
                threads.push(scope.spawn(move || pool.install(|| self.stage(stage, repeats, own, to))));
            }
            drop(from);
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for end in ends {
            end.map_err(|_| Error::Worker("a stage of the pipeline panicked; run the cell again".into()))??;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// One stage's life: it ends when nothing comes any more, or when nobody takes what it made.
    fn stage(
        &self,
        stage: Stage,
        repeats: [usize; 5],
        from: Option<Receiver<Item>>,
        to: Option<SyncSender<Item>>,
    ) -> Result<()> {
        let items: Box<dyn Iterator<Item = Item>> = match from {
            Some(from) => Box::new(from.into_iter()),
            None => Box::new((0..self.batches()).map(|number| Item { number, ..Item::default() })),
        };
        for mut item in items {
            check_interrupt()?;
            self.work(stage, &mut item, repeats)?;
            if to.as_ref().is_some_and(|to| to.send(item).is_err()) {
                break;
            }
        }
        Ok(())
    }

    /// The work of a stage, as often as it has to be done.
    fn work(&self, stage: Stage, item: &mut Item, repeats: [usize; 5]) -> Result<()> {
        for _ in 0..repeats[stage as usize] {
            match stage {
                Stage::Read => self.read(item)?,
                Stage::Parse => parse(item)?,
                Stage::Featurise => featurise(item),
                Stage::Model if self.trains => self.learn(item)?,
                Stage::Model => item.answers = self.answers(&item.features)?,
                Stage::Encode => encode(item),
            }
        }
        Ok(())
    }

    fn read(&self, item: &mut Item) -> Result<()> {
        let (start, end) = (self.starts[item.number], self.starts[item.number + 1]);
        item.bytes = vec![0; (end - start) as usize];
        self.file
            .read_exact_at(&mut item.bytes, start)
            .map_err(|cause| Error::io("the temporary file with the rows can't be read", cause))?;
        if Sha256::digest(&item.bytes)[..] != self.checksums[item.number] {
            return Err(Error::invalid(format!("batch {} is not what was written; run the cell again", item.number)));
        }
        Ok(())
    }

    fn answers(&self, features: &[f32]) -> Result<Vec<Answer>> {
        let classes = self.network.model().classes();
        Ok(scores(&self.network, features)?.chunks_exact(classes).map(Answer::of_scores).collect())
    }

    fn learn(&self, item: &mut Item) -> Result<()> {
        let device = self.network.device();
        let features = Tensor::from_slice(&item.features, (item.labels.len(), FEATURES), device)?;
        let labels = Tensor::from_slice(&item.labels, item.labels.len(), device)?;
        let (loss, gradients) = Gradients::of(&self.network, &Batch { features, labels })?;
        let mut optimiser = self.optimiser.lock().unwrap_or_else(PoisonError::into_inner);
        optimiser.step(&self.network, &gradients)?;
        item.answers = vec![Answer { class: 0, confidence: loss as f32 }];
        Ok(())
    }
}

fn parse(item: &mut Item) -> Result<()> {
    (item.numbers.clear(), item.labels.clear());
    let text = std::str::from_utf8(&item.bytes).map_err(|cause| Error::invalid(format!("not text: {cause}")))?;
    for line in text.lines() {
        let (row, label) = line.rsplit_once(',').unwrap_or((line, ""));
        for number in row.split(',') {
            item.numbers.push(number.parse().map_err(|_| Error::invalid(format!("'{number}' is no number")))?);
        }
        item.labels.push(label.parse().map_err(|_| Error::invalid(format!("'{label}' is no class")))?);
    }
    Ok(())
}

fn featurise(item: &mut Item) {
    item.features.clear();
    for row in item.numbers.chunks_exact(COLUMNS) {
        item.features.extend_from_slice(row);
        for (place, one) in row.iter().enumerate() {
            item.features.extend(row[place..].iter().map(|other| one * other));
        }
    }
}

fn encode(item: &mut Item) {
    item.encoded.clear();
    for (row, answer) in item.answers.iter().enumerate() {
        // Writing to a string can't fail.
        let _ = writeln!(
            item.encoded,
            "{{\"row\":{row},\"class\":{},\"confidence\":{:.4}}}",
            answer.class, answer.confidence
        );
    }
}

/// A thread that the operating system puts on whichever core is free, with matrix products on it alone.
fn one_thread() -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|cause| Error::Worker(format!("no thread could be started for a stage: {cause}")))
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

    #[test]
    fn both_ways_do_the_same_work() -> Result<()> {
        let stages = Stages::new().rows(400, 100).training();
        let parameters = |pipelined: bool| -> Result<Vec<f32>> {
            let work = Work::new(&stages)?;
            let one = one_thread()?;
            if pipelined {
                work.pipelined([1; 5])?
            } else {
                one.install(|| work.serial([1; 5]))?.iter().sum()
            };
            work.network.parameters()
        };
        let start = Work::new(&stages)?.network.parameters()?;
        let (serial, pipelined) = (parameters(false)?, parameters(true)?);
        assert_ne!(serial, start);
        assert_eq!(serial, pipelined);
        Ok(())
    }

    #[test]
    fn rows_come_out_as_they_were_written() -> Result<()> {
        let work = Work::new(&Stages::new().rows(200, 100))?;
        let mut item = Item { number: 1, ..Item::default() };
        Stage::ALL.into_iter().try_for_each(|stage| work.work(stage, &mut item, [2; 5]))?;
        let data = Teacher::new(200).columns(COLUMNS).generate()?;
        assert_eq!(&item.numbers[..COLUMNS], data.row(100));
        assert_eq!(item.labels, data.labels()[100..]);
        assert_eq!(item.features.len(), 100 * FEATURES);
        assert_eq!(item.features[COLUMNS + 1], data.row(100)[0] * data.row(100)[1]);
        assert!(item.encoded.lines().count() == 100 && item.encoded.starts_with("{\"row\":0,\"class\":"));
        Ok(())
    }
}
