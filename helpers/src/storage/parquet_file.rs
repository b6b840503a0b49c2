//! One Parquet file, here or in an object store.

use std::fs::File;
use std::path::Path;

use polars::io::HiveOptions;
use polars::io::parquet::read::{FileMetadata, infer_schema};
use polars::prelude::{
    DataFrame, IdxSize, LazyFrame, ParquetReader, PolarsResult, ScanArgsParquet, Schema, SchemaExt, SerReader,
};

use super::object_store::{self, StoreOptions};
use super::quiet::quietly;
use super::store::{PARQUET, ending};
use super::{Store, url};
use crate::error::{Error, Result};

/// Column names with their types.
pub(super) type Columns = Vec<(String, String)>;

/// A file, and how it is reached.
#[derive(Clone, Copy)]
pub(super) struct ParquetFile<'a> {
    path: &'a Path,
    options: &'a StoreOptions,
}

/// What the end of a file says of the rest.
pub(super) struct Footer {
    pub(super) columns: Columns,
    /// The first row and the rows of each row group.
    pub(super) groups: Vec<(usize, usize)>,
}

impl<'a> ParquetFile<'a> {
    /// One of a store's files.
    pub(super) fn new(path: &'a Path, store: &'a Store) -> Self {
        Self { path, options: &store.options }
    }

    /// # Errors
    /// [`Error::Data`] for a file that is missing, or whose footer is damaged.
    pub(super) fn footer(self) -> Result<Footer> {
        if let Some(url) = url(self.path) {
            let metadata = object_store::footer(url, self.options)?;
            return flat(quietly(|| footer_of(&metadata))).map_err(|cause| self.damaged("its footer", &cause));
        }
        let mut reader = ParquetReader::new(self.open()?);
        let footer = flat(quietly(|| reader.get_metadata().and_then(|metadata| footer_of(metadata))));
        footer.map_err(|cause| match self.is_named_otherwise() {
            true => self.foreign(),
            false => self.damaged("its footer", &cause),
        })
    }

    /// Whether it has the ending of another format.
    fn is_named_otherwise(self) -> bool {
        ending(self.path).is_some_and(|ending| !PARQUET.contains(&ending.as_str()))
    }

    fn foreign(self) -> Error {
        Error::data(self.path, "is neither CSV nor Parquet; read it with polars, and give the frame to Scan::run_on")
    }

    /// Some of its rows; fewer where it ends before.
    ///
    /// # Errors
    /// [`Error::Data`] for a file that is missing; the reader's words for bytes that it can't make sense of.
    pub(super) fn read(self, start: usize, rows: usize) -> Result<Result<DataFrame, String>> {
        if let Some(url) = url(self.path) {
            let hive_options = HiveOptions { enabled: Some(false), ..HiveOptions::default() };
            let cloud_options = Some(self.options.cloud(url)?);
            let args = ScanArgsParquet { cloud_options, hive_options, glob: false, ..ScanArgsParquet::default() };
            let length = IdxSize::try_from(rows).unwrap_or(IdxSize::MAX);
            let read = || LazyFrame::scan_parquet(url.into(), args)?.slice(start as i64, length).collect();
            return Ok(flat(quietly(read)));
        }
        let file = self.open()?;
        Ok(flat(quietly(|| ParquetReader::new(file).with_slice(Some((start, rows))).finish())))
    }

    fn open(self) -> Result<File> {
        File::open(self.path).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => {
                Error::data(self.path, "is missing; write the table again, or take it from a copy")
            }
            _ => Error::data(self.path, format!("can't be opened ({cause})")),
        })
    }

    /// That `place` of the file can't be read.
    pub(super) fn damaged(self, place: &str, cause: &str) -> Error {
        if let Some(url) = url(self.path) {
            return object_store::explain(url, self.options, &format!("{place}: {cause}"));
        }
        let cause = cause.lines().next().unwrap_or_default();
        Error::data(
            self.path,
            format!("is damaged: {place} can't be read ({cause}); write it again, or take it from a copy"),
        )
    }
}

fn flat<T>(read: Result<PolarsResult<T>, String>) -> Result<T, String> {
    read.and_then(|read| read.map_err(|cause| cause.to_string()))
}

fn footer_of(metadata: &FileMetadata) -> PolarsResult<Footer> {
    let schema = Schema::from_arrow_schema(&infer_schema(metadata)?);
    let columns = schema.iter().map(|(name, kind)| (name.to_string(), kind.to_string())).collect();
    let mut start = 0;
    let group = |rows: usize| {
        start += rows;
        (start - rows, rows)
    };
    Ok(Footer { columns, groups: metadata.row_groups.iter().map(|group| group.num_rows()).map(group).collect() })
}
