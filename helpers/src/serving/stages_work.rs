//! What each stage does for a batch, one stage after the other or each on a thread of its own.

use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use candle_core::Tensor;
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::stages::{Stage, Stages};
use crate::data::{Batch, Teacher};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::model::{Architecture, Mlp, Network};
use crate::training::{Gradients, Optimiser, OptimiserState, scores};

/// Numbers in a row of the file.
const COLUMNS: usize = 16;
/// They and all products of two of them.
const FEATURES: usize = COLUMNS + COLUMNS * (COLUMNS + 1) / 2;
/// Batches that wait between two stages.
const WAITING: usize = 4;

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
pub(super) struct Work {
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
    pub(super) fn new(stages: &Stages) -> Result<Self> {
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

    pub(super) fn batches(&self) -> usize {
        self.checksums.len()
    }

    /// All batches, each through all stages on the calling thread; seconds of each stage over all batches.
    pub(super) fn serial(&self, repeats: [usize; 5]) -> Result<[f64; 5]> {
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
    pub(super) fn pipelined(&self, repeats: [usize; 5]) -> Result<f64> {
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
    item.numbers.clear();
    item.labels.clear();
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
