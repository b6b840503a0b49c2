//! A training run's batches from a table of which only a part is in memory.
//!
//! Row groups are visited in an order drawn anew for each pass; those of a window are read together, and their rows
//! shuffled. So two rows meet in a batch if their row groups meet in a window: the larger the window, the nearer this comes to a
//! shuffle of everything. While one window is used, the next is read on a thread of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use polars::prelude::{DataFrame, DataType, ParquetReader, PolarsResult, SerReader};
use serde::{Deserialize, Serialize};

use super::Store;
use super::fault;
use crate::data::{Batch, Dataset, shuffled_rows};
use crate::device::Device;
use crate::error::{Error, Result};

/// A description of batches; [`Batches::start`] begins to read.
///
/// ```
/// use onramp::prelude::*;
///
/// # let folder = std::env::temp_dir().join(format!("onramp-example-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let store = Store::write(folder.join("t.parquet"), Teacher::new(1_000).columns(4), Layout::Parquet)?;
/// let mut batches = Batches::of(&store, "label").rows(64).start()?;
/// let first = batches.next().unwrap()?;
/// assert_eq!(first.features.dims(), [64, 4]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batches {
    files: Vec<PathBuf>,
    label: String,
    rows: usize,
    window: usize,
    seed: u64,
    rank: usize,
    world_size: usize,
    from: Position,
    device: Device,
}

/// How far a run has come: the batches that were taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Passes over the table that have ended.
    pub pass: u64,
    /// Windows of this pass that have ended.
    pub window: usize,
    /// Batches of this window that were taken.
    pub batch: usize,
}

/// Row group of a file: first row, rows.
type Unit = (PathBuf, usize, usize);

/// The batches, without an end: after the last row a new pass begins.
pub struct BatchStream {
    windows: Receiver<Result<(Position, Dataset)>>,
    current: VecDeque<Vec<usize>>,
    rows: Option<Dataset>,
    position: Position,
    description: Batches,
    device: candle_core::Device,
}

impl Batches {
    /// Batches of 64 rows with `label` as class and all other columns as features, from windows of 8 row groups.
    pub fn of(store: &Store, label: &str) -> Self {
        Self {
            files: store.files().to_vec(),
            label: label.to_string(),
            rows: 64,
            window: 8,
            seed: 0,
            rank: 0,
            world_size: 1,
            from: Position::default(),
            device: Device::Cpu,
        }
    }

    /// Rows in a batch; the last one of a window may have fewer.
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// Row groups that are in memory, and shuffled, together.
    pub fn window(mut self, row_groups: usize) -> Self {
        self.window = row_groups;
        self
    }

    /// Another seed gives another order.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Only the row groups of worker `rank` of `world_size`: every `world_size`-th one of the pass's order.
    pub fn shard(mut self, rank: usize, world_size: usize) -> Self {
        (self.rank, self.world_size) = (rank, world_size);
        self
    }

    /// Goes on where another run of the same description was.
    pub fn from(mut self, position: Position) -> Self {
        self.from = position;
        self
    }

    /// Where the tensors are put. Without this, in main memory.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Begins to read.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for batches or windows of nothing, and a shard without row groups; [`Error::Data`] when a file
    /// is missing or its footer is damaged. What is wrong with the rows of a file comes in place of a batch.
    pub fn start(self) -> Result<BatchStream> {
        if self.rows == 0 || self.window == 0 {
            return Err(Error::invalid(format!(
                "batches of {} rows from windows of {} row groups hold nothing; use at least 1 of each",
                self.rows, self.window
            )));
        }
        let mut units: Vec<Unit> = Vec::new();
        for file in &self.files {
            units.extend(fault::row_groups(file)?.into_iter().map(|(start, rows)| (file.clone(), start, rows)));
        }
        if self.rank >= self.world_size || self.world_size > units.len() {
            return Err(Error::invalid(format!(
                "shard {} of {} can't be cut from {} row groups; ranks run from 0 to one below the number of workers, and \
                 each needs a row group: use fewer workers, or write more files",
                self.rank,
                self.world_size,
                units.len()
            )));
        }
        let device = self.device.open()?;
        // One window waits while the next is read.
        let (sender, windows) = sync_channel(1);
        let reader = self.clone();
        std::thread::Builder::new()
            .name("onramp batches".to_string())
            .spawn(move || reader.read_windows(&units, &sender))
            .map_err(|cause| Error::io("starting a thread that reads ahead", cause))?;
        let position = self.from;
        Ok(BatchStream { windows, current: VecDeque::new(), rows: None, position, description: self, device })
    }

    /// Reads window after window until nobody wants them any more.
    fn read_windows(&self, units: &[Unit], wanted: &SyncSender<Result<(Position, Dataset)>>) {
        let (mut pass, mut skipped) = (self.from.pass, self.from.window);
        loop {
            let order = shuffled_rows(units.len(), mixed(self.seed, pass, 0));
            let own: Vec<usize> = order.into_iter().skip(self.rank).step_by(self.world_size).collect();
            for (window, numbers) in own.chunks(self.window).enumerate().skip(skipped) {
                let read = self.read(&numbers.iter().map(|number| &units[*number]).collect::<Vec<_>>());
                let failed = read.is_err();
                let read = read.map(|rows| (Position { pass, window, batch: 0 }, rows));
                if wanted.send(read).is_err() || failed {
                    return;
                }
            }
            (pass, skipped) = (pass + 1, 0);
        }
    }

    /// The rows of some row groups.
    fn read(&self, units: &[&Unit]) -> Result<Dataset> {
        let (mut features, mut labels, mut columns) = (Vec::new(), Vec::new(), 0);
        for (file, start, rows) in units.iter().copied() {
            let read = || -> PolarsResult<DataFrame> {
                ParquetReader::new(File::open(file)?).with_slice(Some((*start, *rows))).finish()
            };
            let frame = match fault::guarded(read) {
                Ok(frame) => frame,
                Err(cause) => {
                    fault::find(std::slice::from_ref(file))?;
                    return Err(Error::data(file, format!("can't be read ({cause})")));
                }
            };
            columns = self.append(file, &frame, &mut features, &mut labels)?;
        }
        let classes = labels.iter().max().map_or(1, |most| *most as usize + 1);
        Dataset::new("window", columns, classes, features, labels)
    }

    /// Adds the rows of a frame; says how many features each has.
    fn append(
        &self,
        file: &PathBuf,
        frame: &DataFrame,
        features: &mut Vec<f32>,
        labels: &mut Vec<u32>,
    ) -> Result<usize> {
        let unfit = |reason: String| Error::data(file, reason);
        let names: Vec<String> = frame.get_column_names().iter().map(ToString::to_string).collect();
        if !names.contains(&self.label) {
            return Err(unfit(format!("has no column '{}'; its columns are {}", self.label, names.join(", "))));
        }
        let mut columns: Vec<Vec<f32>> = Vec::new();
        for column in frame.columns() {
            let name = column.name();
            let no_number = |cause: polars::prelude::PolarsError| {
                let cause = cause.to_string();
                unfit(format!("has no numbers in the column '{name}' ({})", cause.lines().next().unwrap_or_default()))
            };
            if column.null_count() > 0 {
                return Err(unfit(format!(
                    "has {} missing values in the column '{name}'; fill them in",
                    column.null_count()
                )));
            }
            if name.as_str() == self.label {
                let classes = column.strict_cast(&DataType::UInt32).map_err(no_number)?;
                labels.extend(classes.u32().map_err(no_number)?.into_no_null_iter());
            } else {
                let values = column.cast(&DataType::Float32).map_err(no_number)?;
                columns.push(values.f32().map_err(no_number)?.into_no_null_iter().collect());
            }
        }
        features.reserve(frame.height() * columns.len());
        for row in 0..frame.height() {
            features.extend(columns.iter().map(|column| column[row]));
        }
        Ok(columns.len())
    }
}

impl BatchStream {
    /// What to give to [`Batches::from`] to go on with the next batch.
    pub fn position(&self) -> Position {
        self.position
    }

    fn next_batch(&mut self) -> Result<Batch> {
        while self.current.is_empty() {
            let gone =
                || Error::Worker("the thread that reads ahead has ended after its error; start again".to_string());
            let (at, rows) = self.windows.recv().map_err(|_| gone())??;
            let order = shuffled_rows(rows.rows(), mixed(self.description.seed, at.pass, at.window as u64 + 1));
            let batches = order.chunks(self.description.rows).map(<[usize]>::to_vec);
            // After a restart the first window has been used in part.
            let same = (at.pass, at.window) == (self.position.pass, self.position.window);
            let used = if same { self.position.batch } else { 0 };
            self.current = batches.skip(used).collect();
            self.position = Position { batch: used, ..at };
            self.rows = Some(rows);
        }
        let (Some(rows), Some(batch)) = (&self.rows, self.current.pop_front()) else {
            return Err(Error::invalid("a window without rows was read"));
        };
        self.position.batch += 1;
        rows.batch(&batch, &self.device)
    }
}

impl Iterator for BatchStream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_batch())
    }
}

/// One seed out of three numbers (the finaliser of splitmix64).
fn mixed(seed: u64, pass: u64, window: u64) -> u64 {
    let mut value = seed;
    for part in [pass, window] {
        value = value.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^= value >> 31;
    }
    value
}
