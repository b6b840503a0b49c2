//! Reading a table and computing the means of groups of rows, in the two ways that there are.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use polars::prelude::{
    CsvReadOptions, DataFrame, Engine, Expr, IntoLazy, LazyCsvReader, LazyFileListReader, LazyFrame, ParquetReader,
    PlRefPath, PolarsResult, ScanArgsParquet, ScanSources, SerReader, SortMultipleOptions, col, len, lit,
};
use serde::{Deserialize, Serialize};

use super::{Store, fault, memory};
use crate::display::{Table as Shown, significant};
use crate::error::{Error, Result};

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
    path: PathBuf,
    reading: Reading,
    filter: Option<Filter>,
    by: Option<String>,
    mean_of: Vec<String>,
    rank: usize,
    world_size: usize,
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
    pub from: f64,
    /// The first value above.
    pub to: f64,
}

/// One group's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The value of the column that the rows were grouped by; 0 where they were not.
    pub key: f64,
    /// Rows in the group.
    pub rows: u64,
    /// Means of the columns, in the order in which they were asked for.
    pub means: Vec<f64>,
}

/// The result of [`Scan::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRun {
    /// What was read.
    pub scan: Scan,
    /// The groups, in the order of their keys.
    pub groups: Vec<Group>,
    /// Seconds from before the first byte was read.
    pub seconds: f64,
    /// The most memory that this process had for itself meanwhile, in bytes: without pages of mapped files, which the system
    /// takes back when it needs them. It is the scan's alone in a fresh process ([`crate::experiment::in_fresh_process`]).
    pub peak_memory_bytes: u64,
    /// Memory that was in use before.
    pub memory_before_bytes: u64,
}

impl Scan {
    /// All rows, as one group, streaming; nothing but their number is computed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, reading: Reading::Streaming, filter: None, by: None, mean_of: Vec::new(), rank: 0, world_size: 1 }
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

    /// Only the files of worker `rank` of `world_size`: every `world_size`-th one.
    pub fn shard(mut self, rank: usize, world_size: usize) -> Self {
        (self.rank, self.world_size) = (rank, world_size);
        self
    }

    /// Reads and computes.
    ///
    /// # Errors
    /// [`Error::Data`] with the file, and the row group of a Parquet file, that is missing, damaged, or has other columns;
    /// [`Error::InvalidInput`] for a shard without files.
    pub fn run(&self) -> Result<ScanRun> {
        let store = Store::open(&self.path)?;
        if self.rank >= self.world_size || self.rank >= store.files().len() {
            return Err(Error::invalid(format!(
                "shard {} of {} can't be read from {} files; ranks run from 0 to one below the number of workers, and each \
                 needs a file",
                self.rank,
                self.world_size,
                store.files().len()
            )));
        }
        let files: Vec<PathBuf> = store.files().iter().skip(self.rank).step_by(self.world_size).cloned().collect();
        let memory = memory::Watch::start()?;
        let start = Instant::now();
        let computed = fault::guarded(|| self.compute(&store, &files));
        let seconds = start.elapsed().as_secs_f64();
        let frame = computed.map_err(|cause| self.explain(&store, &files, &cause))?;
        let groups =
            self.groups(&frame).map_err(|cause| Error::data(&self.path, format!("can't be summed up ({cause})")))?;
        let (memory_before_bytes, peak_memory_bytes) = memory.finish();
        Ok(ScanRun { scan: self.clone(), groups, seconds, peak_memory_bytes, memory_before_bytes })
    }

    fn compute(&self, store: &Store, files: &[PathBuf]) -> PolarsResult<DataFrame> {
        let (rows, engine) = match (self.reading, store.is_csv()) {
            (Reading::Eager, true) => {
                let options = CsvReadOptions::default().with_has_header(true);
                let read =
                    |file: &PathBuf| options.clone().try_into_reader_with_file_path(Some(file.clone()))?.finish();
                (stacked(files, read)?.lazy(), Engine::InMemory)
            }
            (Reading::Eager, false) => {
                let read = |file: &PathBuf| ParquetReader::new(fs::File::open(file)?).finish();
                (stacked(files, read)?.lazy(), Engine::InMemory)
            }
            (Reading::Streaming, true) => {
                let reader = LazyCsvReader::new_with_sources(sources(files)?);
                (reader.with_has_header(true).finish()?, Engine::Streaming)
            }
            (Reading::Streaming, false) => {
                (LazyFrame::scan_parquet_sources(sources(files)?, ScanArgsParquet::default())?, Engine::Streaming)
            }
        };
        let rows = match &self.filter {
            Some(Filter { column, from, to }) => {
                rows.filter(col(column.as_str()).gt_eq(lit(*from)).and(col(column.as_str()).lt(lit(*to))))
            }
            None => rows,
        };
        let mut results: Vec<Expr> = vec![len().alias("rows")];
        let mean = |(index, column): (usize, &String)| col(column.as_str()).mean().alias(format!("mean{index}"));
        results.extend(self.mean_of.iter().enumerate().map(mean));
        let grouped = match &self.by {
            Some(column) => rows
                .group_by([col(column.as_str()).alias("key")])
                .agg(results)
                .sort(["key"], SortMultipleOptions::default()),
            None => rows.select(results),
        };
        grouped.collect_with_engine(engine).map(|result| result.unwrap_single())
    }

    fn groups(&self, frame: &DataFrame) -> PolarsResult<Vec<Group>> {
        let numbers = |name: &str| -> PolarsResult<Vec<f64>> {
            let column = frame.column(name)?.cast(&polars::prelude::DataType::Float64)?;
            Ok(column.f64()?.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
        };
        let rows = numbers("rows")?;
        let keys = if self.by.is_some() { numbers("key")? } else { vec![0.0; rows.len()] };
        let means =
            (0..self.mean_of.len()).map(|index| numbers(&format!("mean{index}"))).collect::<PolarsResult<Vec<_>>>()?;
        let group = |index: usize| Group {
            key: keys[index],
            rows: rows[index] as u64,
            means: means.iter().map(|column| column[index]).collect(),
        };
        Ok((0..frame.height()).map(group).collect())
    }

    /// A reader's complaint with the file and the place.
    fn explain(&self, store: &Store, files: &[PathBuf], cause: &str) -> Error {
        let columns = store.table().map(super::Table::columns);
        let asked = self.mean_of.iter().chain(&self.by).chain(self.filter.as_ref().map(|filter| &filter.column));
        for column in asked {
            if let Some(columns) = columns.as_ref().filter(|columns| !columns.contains(column)) {
                return Error::data(
                    &self.path,
                    format!("has no column '{column}'; its columns are {}", columns.join(", ")),
                );
            }
        }
        if !store.is_csv()
            && let Err(fault) = fault::find(files)
        {
            return fault;
        }
        let cause = cause.lines().next().unwrap_or_default();
        Error::data(&self.path, format!("can't be read ({cause})"))
    }
}

impl ScanRun {
    /// Rows that were counted.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// The groups, and what they cost.
    pub fn table(&self) -> Shown {
        let means = self.scan.mean_of.iter().map(|column| format!("mean of {column}"));
        let columns = ["group".to_string(), "rows".to_string()].into_iter().chain(means);
        let table = self.groups.iter().fold(Shown::new("Means of groups", columns), |table, group| {
            let means = group.means.iter().map(|mean| significant(*mean));
            table.row([group.key.to_string(), group.rows.to_string()].into_iter().chain(means))
        });
        let megabytes = |bytes: u64| significant(bytes as f64 / 1e6);
        table.note(format!(
            "{} rows in {} s; the process had at most {} MB in memory, {} MB before.",
            self.rows(),
            significant(self.seconds),
            megabytes(self.peak_memory_bytes),
            megabytes(self.memory_before_bytes)
        ))
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

/// All rows of all files.
fn stacked(files: &[PathBuf], read: impl Fn(&PathBuf) -> PolarsResult<DataFrame>) -> PolarsResult<DataFrame> {
    let mut frames = files.iter().map(read);
    let first = frames.next().unwrap_or_else(|| Ok(DataFrame::empty()))?;
    frames.try_fold(first, |mut all, frame| all.vstack_mut(&frame?).map(|_| ()).map(|()| all))
}

fn sources(files: &[PathBuf]) -> PolarsResult<ScanSources> {
    let paths = files.iter().map(|file| PlRefPath::try_from_path(file)).collect::<PolarsResult<_>>()?;
    Ok(ScanSources::Paths(paths))
}
