//! Writing a table, file by file. A file appears under its name when all of it is on the disk, or not at all.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use polars::io::csv::write::BatchedWriter as CsvBatches;
use polars::io::parquet::write::BatchedWriter as ParquetBatches;
use polars::prelude::{CsvWriter, DataFrame, ParquetCompression, ParquetWriter, PolarsError, PolarsResult, SerWriter};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::Table;
use super::table::Maker;
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// How a table lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One file of text, with a header.
    Csv,
    /// One Parquet file.
    Parquet,
    /// A folder with a Parquet file for each so many rows, as `part=0/rows.parquet`, `part=1/rows.parquet` and so on:
    /// Hive's way of naming, in which the folder's name is a column.
    Partitioned {
        /// Rows in each file but the last.
        rows_per_file: usize,
    },
}

/// Rows that are compressed together, and can be read without the others: at most so many.
pub(super) const ROW_GROUP_ROWS: usize = 1 << 18;
/// And no more bytes in memory, so that wide rows come in groups of fewer.
const ROW_GROUP_BYTES: usize = 32 << 20;
/// Of each number, at most.
const NUMBER_BYTES: usize = 8;

/// The ending of a file that is being written.
const UNFINISHED: &str = ".unfinished";

/// Some consecutive rows of a table, and the file that holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: PathBuf,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Layout {
    /// The files of a table below `path`, or the one that `path` is.
    pub(super) fn parts(self, path: &Path, rows: usize) -> Vec<Part> {
        match self {
            Self::Csv | Self::Parquet => vec![Part { file: path.to_path_buf(), start: 0, end: rows }],
            Self::Partitioned { rows_per_file } => (0..rows.div_ceil(rows_per_file))
                .map(|part| Part {
                    file: path.join(format!("part={part}/rows.parquet")),
                    start: part * rows_per_file,
                    end: rows.min((part + 1) * rows_per_file),
                })
                .collect(),
        }
    }

    /// # Errors
    /// [`Error::InvalidInput`] for files without rows, or whose rows are not whole chunks: then two files would share one.
    pub(super) fn validate(self, maker: &Maker) -> Result<()> {
        let chunk = maker.chunk_rows();
        match self {
            Self::Partitioned { rows_per_file } if rows_per_file == 0 || rows_per_file % chunk != 0 => {
                Err(Error::invalid(format!(
                    "{rows_per_file} rows per file can't be written: rows are made {chunk} at a time; use a multiple of \
                     {chunk}, such as {}",
                    (rows_per_file.div_ceil(chunk)).max(1) * chunk
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Writes one file: rows are made a row group at a time, by all threads, and nothing more is held.
pub(super) fn write(table: &Table, maker: &Maker, layout: Layout, part: &Part, progress: &mut Progress) -> Result<()> {
    let failed = |cause: PolarsError| failure(&part.file, &cause.to_string());
    let io_failed = |cause: std::io::Error| failure(&part.file, &cause.to_string());
    let folder = part.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io_failed)?;
    // Deleted when anything goes wrong from here on.
    let temporary = unfinished(folder, &part.file).map_err(io_failed)?;
    let mut writer: Option<Writer> = None;
    let rows_at_once = ROW_GROUP_ROWS.min(ROW_GROUP_BYTES / (NUMBER_BYTES * table.columns().len()));
    let per_group = (rows_at_once / maker.chunk_rows()).max(1);
    let chunks: Vec<usize> = (part.start / maker.chunk_rows()..part.end.div_ceil(maker.chunk_rows())).collect();
    for (number, group) in chunks.chunks(per_group).enumerate() {
        check_interrupt()?;
        let frames = group.into_par_iter().map(|chunk| maker.chunk(*chunk)).collect::<Result<Vec<_>>>()?;
        let mut frames = frames.into_iter();
        let mut rows = frames.next().ok_or_else(|| Error::invalid(format!("{table} has no rows to write")))?;
        frames.try_for_each(|frame| rows.vstack_mut(&frame).map(|_| ())).map_err(failed)?;
        // One chunk of memory is one row group.
        rows.rechunk_mut_par();
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(
                Writer::new(layout, temporary.as_file().try_clone().map_err(io_failed)?, &rows).map_err(failed)?,
            ),
        };
        let first = part.start + number * per_group * maker.chunk_rows();
        let place = || format!("row group {number} (rows {first} to {})", first + rows.height() - 1);
        writer.write(&rows).map_err(|cause| failure(&part.file, &format!("{}: {cause}", place())))?;
        progress.advance(rows.height());
    }
    if let Some(writer) = writer {
        writer.finish().map_err(failed)?;
    }
    temporary.as_file().sync_all().map_err(io_failed)?;
    make_readable(temporary.as_file()).map_err(io_failed)?;
    temporary.persist(&part.file).map_err(|refused| failure(&part.file, &refused.error.to_string()))?;
    Ok(())
}

/// A hidden file beside the one that it will become. Those of writers that were killed are deleted: a living one holds a lock.
fn unfinished(folder: &Path, file: &Path) -> std::io::Result<NamedTempFile> {
    let prefix = format!(".{}.", file.file_name().unwrap_or_default().to_string_lossy());
    let is_unfinished = |name: &str| name.starts_with(&prefix) && name.ends_with(UNFINISHED);
    for entry in fs::read_dir(folder)?.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_unfinished)) {
        // One that can't be opened or deleted does no harm.
        if File::open(entry.path()).is_ok_and(|left| left.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let made = tempfile::Builder::new().prefix(&prefix).suffix(UNFINISHED).tempfile_in(folder)?;
    made.as_file().lock()?;
    Ok(made)
}

/// Temporary files can be read by their owner only.
pub(super) fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

pub(super) fn failure(file: &Path, cause: &str) -> Error {
    let advice = if cause.contains("os error 28") { ": the disk is full; make room, and write it again" } else { "" };
    let cause = cause.lines().next().unwrap_or_default();
    Error::data(file, format!("can't be written ({cause}){advice}. What was written before is as it was"))
}

/// A file in the making.
enum Writer {
    /// Writes large pieces, so nothing need be collected.
    Csv(CsvBatches<File>),
    Parquet(ParquetBatches<BufWriter<File>>),
}

impl Writer {
    fn new(layout: Layout, output: File, rows: &DataFrame) -> PolarsResult<Self> {
        Ok(match layout {
            Layout::Csv => Self::Csv(CsvWriter::new(output).batched(rows.schema())?),
            Layout::Parquet | Layout::Partitioned { .. } => {
                // Random numbers don't get smaller by more than a tenth, by whatever effort.
                let output = BufWriter::with_capacity(1 << 20, output);
                let writer = ParquetWriter::new(output).with_compression(ParquetCompression::Lz4Raw);
                Self::Parquet(writer.batched(rows.schema())?)
            }
        })
    }

    fn write(&mut self, rows: &DataFrame) -> PolarsResult<()> {
        match self {
            Self::Csv(writer) => writer.write_batch(rows),
            Self::Parquet(writer) => writer.write_batch(rows),
        }
    }

    fn finish(self) -> PolarsResult<()> {
        match self {
            Self::Csv(mut writer) => writer.finish(),
            // This also empties the buffer.
            Self::Parquet(writer) => writer.finish().map(|_| ()),
        }
    }
}
