//! Reading a table and computing the means of groups of rows, in the two ways that there are.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use polars::prelude::LazyFrame;
use serde::{Deserialize, Serialize};

use super::group_means::GroupMeans;
use super::object_store::{self, StoreOptions};
use super::quiet::quietly;
use super::rows::rows;
use super::shard::{Shard, Share};
use super::{Group, ScanRun, ShardBy, Store, any_number, fault, memory, url};
use crate::error::{Error, Result};
use crate::interrupt::receive;
use crate::process;

/// Reads a table and computes, for each group of rows, how many there are and the means of some columns.
///
/// ```
/// use onramp::prelude::*;
///
/// # let folder = std::env::temp_dir().join(format!("onramp-example-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("rows.parquet");
/// Store::write(&path, Teacher::new(5_000).columns(4), Layout::Parquet)?;
/// let run = Scan::new(&path).by("label").mean_of(["x0", "x3"]).reading(Reading::Streaming).run()?;
/// assert_eq!(run.rows(), 5_000);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    pub(super) path: PathBuf,
    pub(super) reading: Reading,
    pub(super) filter: Option<Filter>,
    pub(super) by: Option<String>,
    pub(super) mean_of: Vec<String>,
    #[serde(flatten)]
    shard: Shard,
    #[serde(default)]
    store_options: StoreOptions,
}

/// How much of a table is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// All of it: every row and column, and then the computation.
    Eager,
    /// A part at a time. Columns and rows that are not needed are not read where the files allow that (projection and
    /// predicate are pushed down).
    Streaming,
}

/// Rows that count: those in which a column is at least `from` and below `to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// The column.
    pub column: String,
    /// The lowest value.
    #[serde(with = "any_number")]
    pub from: f64,
    /// The first value above.
    #[serde(with = "any_number")]
    pub to: f64,
}

impl Scan {
    /// All rows, as one group, streaming; nothing but their number is computed. `path` is a file, a folder of files, or a URL, as
    /// for [`Store::open`]; or, for [`Scan::run_on`], any name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            reading: Reading::Streaming,
            filter: None,
            by: None,
            mean_of: Vec::new(),
            shard: Shard::WHOLE,
            store_options: StoreOptions::default(),
        }
    }

    /// In which way.
    pub fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Only rows in which `column` is at least `from` and below `to`.
    pub fn filter(mut self, column: &str, from: f64, to: f64) -> Self {
        self.filter = Some(Filter { column: column.to_string(), from, to });
        self
    }

    /// A group for each value of this column, which must hold numbers.
    pub fn by(mut self, column: &str) -> Self {
        self.by = Some(column.to_string());
        self
    }

    /// The mean of each of these columns.
    pub fn mean_of(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.mean_of = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Only the part of worker `rank` of `world_size`: every `world_size`-th file where there are enough, or else consecutive
    /// row groups of Parquet files. [`ScanRun::shared_by`] says which it was.
    pub fn shard(mut self, rank: usize, world_size: usize) -> Self {
        (self.shard.rank, self.shard.world_size) = (rank, world_size);
        self
    }

    /// What the workers share, whatever there is more of.
    pub fn shard_by(mut self, unit: ShardBy) -> Self {
        self.shard.shard_by = Some(unit);
        self
    }

    /// An option for an object store that polars knows, such as `aws_endpoint_url`. Keys and tokens are not kept in the result.
    pub fn store_option(mut self, name: &str, value: &str) -> Self {
        self.store_options.set(name, value);
        self
    }

    /// Reads and computes.
    ///
    /// # Errors
    /// [`Error::Data`] with the file, and the row group of a Parquet file, that is missing, damaged, or has other columns, or
    /// with the URL that can't be reached; [`Error::InvalidInput`] for a shard without files or row groups, and an option that is
    /// none; [`Error::Interrupted`].
    pub fn run(&self) -> Result<ScanRun> {
        self.measured(|| {
            let store = Store::reach(self.path.clone(), self.store_options.clone())?;
            let share = self.shard.share(&store)?;
            let computed = self.in_background(rows(&store, &share)?)?;
            let groups = computed.map_err(|cause| self.explain(&store, &share, &cause))??;
            Ok((groups, share.by))
        })
    }

    /// Computes the same of rows that polars describes: of another format, a join, or a frame that is in memory. They are read in
    /// this process; [`crate::experiment::in_fresh_process`] knows files and URLs only. The path is their name in messages.
    ///
    /// ```
    /// use onramp::polars::prelude::*;
    /// use onramp::prelude::*;
    ///
    /// let cars = df!["lane" => [1, 1, 2], "seconds" => [2.0, 4.0, 5.0]]?;
    /// let lanes = df!["lane" => [1, 2], "limit" => [100, 80]]?;
    /// let rows = cars.lazy().inner_join(lanes.lazy(), col("lane"), col("lane"));
    /// let run = Scan::new("cars").by("limit").mean_of(["seconds"]).run_on(rows)?;
    /// assert_eq!((run.groups[1].key, run.groups[1].means[0]), (100.0, 3.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Data`] with the name and polars' words for what can't be read or computed, or for a column that is missing or holds
    /// no numbers; [`Error::InvalidInput`] for a shard or a store's options; [`Error::Interrupted`].
    pub fn run_on(&self, rows: LazyFrame) -> Result<ScanRun> {
        if self.shard != Shard::WHOLE || self.store_options != StoreOptions::default() {
            return Err(Error::invalid(format!(
                "{} is a polars frame, which has no files to share and no store; leave out shard, shard_by and store_option, and \
                 give a worker its part with the frame's own filter or slice",
                self.path.display()
            )));
        }
        self.measured(|| {
            let groups = self.in_background(rows)?.map_err(|cause| self.unreadable(&cause))??;
            Ok((groups, None))
        })
    }

    /// The groups, and what they cost.
    fn measured(&self, compute: impl FnOnce() -> Result<(Vec<Group>, Option<ShardBy>)>) -> Result<ScanRun> {
        // Pieces of a table come and go; their memory is kept for the next.
        process::prepare();
        let memory = memory::Watch::start()?;
        let start = Instant::now();
        let (groups, shared_by) = compute()?;
        let seconds = start.elapsed().as_secs_f64();
        let (memory_before_bytes, peak_memory_bytes) = memory.finish();
        let scan = Self { store_options: self.store_options.public(), ..self.clone() };
        Ok(ScanRun { scan, shared_by, groups, seconds, peak_memory_bytes, memory_before_bytes })
    }

    /// Computes on a thread of its own, so that this one can look at whether the learner wants to stop: the groups, or polars'
    /// words for what it can't read.
    fn in_background(&self, rows: LazyFrame) -> Result<std::result::Result<Result<Vec<Group>>, String>> {
        let (sender, answer) = sync_channel(1);
        let cancelled = Arc::new(AtomicBool::new(false));
        let means = GroupMeans { scan: self.clone(), cancelled: Arc::clone(&cancelled) };
        let work = move || {
            let computed = quietly(|| means.of(rows)).and_then(|done| done.map_err(|cause| cause.to_string()));
            // Nobody waits any more after an interrupt.
            let _ = sender.send(computed);
        };
        let thread = std::thread::Builder::new().name("onramp scan".to_string()).spawn(work);
        thread.map_err(|cause| Error::io("starting a thread that reads", cause))?;
        let computed = receive(&answer).inspect_err(|_| cancelled.store(true, Ordering::Relaxed))?;
        computed.ok_or_else(|| Error::Worker("the thread that reads a table has ended without an answer".to_string()))
    }

    /// Which part it reads, for the table.
    pub(super) fn part(&self, unit: ShardBy) -> String {
        let Shard { rank, world_size, .. } = self.shard;
        let unit = match unit {
            ShardBy::Files => "files",
            ShardBy::RowGroups => "row groups",
        };
        format!("The {unit} of worker {rank} of {world_size}.")
    }

    /// A reader's complaint with the file and the place.
    fn explain(&self, store: &Store, share: &Share, cause: &str) -> Error {
        if let Some(url) = url(&self.path).filter(|_| cause.contains("object-store error")) {
            return object_store::explain(url, &store.options, cause);
        }
        if !store.is_csv()
            && let Err(fault) = fault::find(store, &share.files)
        {
            return fault;
        }
        self.unreadable(cause)
    }

    fn unreadable(&self, cause: &str) -> Error {
        let first = cause.lines().next().unwrap_or_default();
        let advice = if first.contains("could not parse") {
            "; its first rows are of another type: write such a column in one way from the first row on"
        } else {
            ""
        };
        Error::data(&self.path, format!("can't be read ({first}){advice}"))
    }
}
