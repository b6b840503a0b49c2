//! A training run's batches from a table of which only a part is in memory.
//!
//! Row groups are visited in an order drawn anew for each pass; those of a window are read together, and their rows
//! shuffled. So two rows meet in a batch if their row groups meet in a window: the larger the window, the nearer this comes to a
//! shuffle of everything. While one window is used, the next is read on a thread of its own.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use super::parquet_file::Columns;
use super::shard::Shard;
use super::{ParquetFile, ShardBy, Store, fault};
use crate::data::{Batch, Dataset, file, shuffled_rows};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::interrupt::receive;

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
    store: Store,
    label: String,
    rows: usize,
    window: usize,
    seed: u64,
    shard: Shard,
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

/// A row group.
struct Unit {
    /// The place of its file in the store.
    file: usize,
    /// Its first row in the file.
    start: usize,
    rows: usize,
}

/// What a thread reads ahead from.
struct Reader {
    description: Batches,
    units: Vec<Unit>,
    /// Of the first file, and so of all.
    columns: Columns,
}

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
            store: store.clone(),
            label: label.to_string(),
            rows: 64,
            window: 8,
            seed: 0,
            shard: Shard::WHOLE,
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

    /// Only the part of worker `rank` of `world_size`: every `world_size`-th row group of the pass's order, so that a worker sees
    /// others in each pass.
    pub fn shard(mut self, rank: usize, world_size: usize) -> Self {
        (self.shard.rank, self.shard.world_size) = (rank, world_size);
        self
    }

    /// What the workers share. With [`ShardBy::Files`] each has every `world_size`-th file, the same in each pass: no other need
    /// be where it runs.
    pub fn shard_by(mut self, unit: ShardBy) -> Self {
        self.shard.shard_by = Some(unit);
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
    /// [`Error::InvalidInput`] for batches or windows of nothing, and a shard without files or row groups; [`Error::Data`] when a
    /// file is missing, its footer is damaged, or it has other columns than the first. What is wrong with the rows of a file
    /// comes in place of a batch.
    pub fn start(self) -> Result<BatchStream> {
        if self.rows == 0 || self.window == 0 {
            return Err(Error::invalid(format!(
                "batches of {} rows from windows of {} row groups hold nothing; use at least 1 of each",
                self.rows, self.window
            )));
        }
        let reader = Reader::new(self.clone())?;
        let device = self.device.open()?;
        // One window waits while the next is read.
        let (sender, windows) = sync_channel(1);
        std::thread::Builder::new()
            .name("onramp batches".to_string())
            .spawn(move || reader.read_windows(&sender))
            .map_err(|cause| Error::io("starting a thread that reads ahead", cause))?;
        let position = self.from;
        Ok(BatchStream { windows, current: VecDeque::new(), rows: None, position, description: self, device })
    }

    /// What the workers share.
    fn unit(&self) -> ShardBy {
        self.shard.shard_by.unwrap_or(ShardBy::RowGroups)
    }
}

impl Reader {
    /// Looks at all footers.
    fn new(description: Batches) -> Result<Self> {
        let (store, shard, by) = (&description.store, description.shard, description.unit());
        let files = store.files();
        if store.is_csv() {
            return Err(Error::data(
                store.path(),
                "is CSV, which can't be read in parts; batches need Parquet: write the table as Layout::Parquet",
            ));
        }
        if by == ShardBy::Files {
            shard.check(files.len(), by)?;
        }
        let (mut units, mut columns) = (Vec::new(), None);
        for (file, path) in files.iter().enumerate() {
            let is_own = by == ShardBy::RowGroups || file % shard.world_size == shard.rank;
            if !is_own {
                continue;
            }
            let footer = ParquetFile::new(path, store).footer()?;
            match &columns {
                None => columns = Some((path.display().to_string(), footer.columns)),
                Some((first, expected)) => fault::compare(path, &footer.columns, first, expected)?,
            }
            units.extend(footer.groups.into_iter().map(|(start, rows)| Unit { file, start, rows }));
        }
        let is_enough = if by == ShardBy::Files { Shard::WHOLE } else { shard };
        is_enough.check(units.len(), ShardBy::RowGroups)?;
        let columns = columns.map(|(_, columns)| columns).unwrap_or_default();
        Ok(Self { description, units, columns })
    }

    /// Reads window after window until nobody wants them any more.
    fn read_windows(&self, wanted: &SyncSender<Result<(Position, Dataset)>>) {
        let Batches { seed, shard, window: in_window, from, .. } = &self.description;
        // By file, all that is known is its own.
        let (first, step) = match self.description.unit() {
            ShardBy::RowGroups => (shard.rank, shard.world_size),
            ShardBy::Files => (0, 1),
        };
        let (mut pass, mut skipped) = (from.pass, from.window);
        loop {
            let order = shuffled_rows(self.units.len(), mixed(*seed, pass, 0));
            let own: Vec<usize> = order.into_iter().skip(first).step_by(step).collect();
            for (window, numbers) in own.chunks(*in_window).enumerate().skip(skipped) {
                let read = self.read(numbers);
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
    fn read(&self, numbers: &[usize]) -> Result<Dataset> {
        let (mut features, mut labels, mut columns) = (Vec::new(), Vec::new(), 0);
        let store = &self.description.store;
        for Unit { file, start, rows } in numbers.iter().map(|number| &self.units[*number]) {
            let path = &store.files()[*file];
            let frame = match ParquetFile::new(path, store).read(*start, *rows)? {
                Ok(frame) => frame,
                Err(cause) => {
                    fault::find(store, std::slice::from_ref(path))?;
                    return Err(Error::data(path, format!("can't be read ({cause})")));
                }
            };
            columns = self.append(path, &frame, *rows, &mut features, &mut labels)?;
        }
        let classes = labels.iter().max().map_or(1, |most| *most as usize + 1);
        Dataset::new("window", columns, classes, features, labels)
    }

    /// Adds the rows of a frame; says how many features each has.
    fn append(
        &self,
        file: &Path,
        frame: &DataFrame,
        rows: usize,
        features: &mut Vec<f32>,
        labels: &mut Vec<u32>,
    ) -> Result<usize> {
        let unfit = |reason: String| Error::data(file, reason);
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        // Files may have the columns in another order.
        let in_order = frame.select(names.iter().copied()).ok().filter(|_| frame.width() == names.len());
        let Some(frame) = in_order.filter(|_| frame.height() == rows) else {
            return Err(unfit("has changed since the batches began; start again".to_string()));
        };
        let label = self.description.label.as_str();
        if !names.contains(&label) {
            return Err(unfit(format!("has no column '{label}'; its columns are {}", names.join(", "))));
        }
        let mut columns: Vec<Vec<f32>> = Vec::new();
        for column in frame.columns() {
            let values = file::numbers(column).map_err(unfit)?;
            if column.name().as_str() == label {
                labels.extend(file::classes(label, &values).map_err(unfit)?);
            } else {
                columns.push(values.into_iter().map(|value| value as f32).collect());
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

    /// What the workers share: row groups, or files.
    pub fn shared_by(&self) -> ShardBy {
        self.description.unit()
    }

    fn next_batch(&mut self) -> Result<Batch> {
        while self.current.is_empty() {
            let gone =
                || Error::Worker("the thread that reads ahead has ended after its error; start again".to_string());
            let (at, rows) = receive(&self.windows)?.ok_or_else(gone)??;
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
