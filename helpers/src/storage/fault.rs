//! What is wrong with a table's files. A reader of many files says that one is damaged, but not always which and where; so
//! after it has failed the files are looked at one by one.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use polars::prelude::{ParquetReader, PolarsResult, SerReader};

use crate::error::{Error, Result};

/// Column names with their types.
type Columns = Vec<(String, String)>;

/// Row groups of a file, as the first row and the rows of each.
pub(super) fn row_groups(file: &Path) -> Result<Vec<(usize, usize)>> {
    let mut reader = open(file)?;
    let metadata = guarded(|| reader.get_metadata().cloned()).map_err(|cause| damaged(file, "its footer", &cause))?;
    let mut start = 0;
    let group = |rows: usize| {
        start += rows;
        (start - rows, rows)
    };
    Ok(metadata.row_groups.iter().map(|group| group.num_rows()).map(group).collect())
}

/// # Errors
/// [`Error::Data`] with the first fault.
pub(super) fn find(files: &[PathBuf]) -> Result<()> {
    let mut first: Option<(&Path, Columns)> = None;
    for file in files {
        let groups = row_groups(file)?;
        let columns = columns(file)?;
        match &first {
            None => first = Some((file, columns)),
            Some((other, expected)) => compare(file, &columns, other, expected)?,
        }
        for (number, (start, rows)) in groups.iter().enumerate() {
            let reader = open(file)?.with_slice(Some((*start, *rows)));
            let place = format!("row group {number} (rows {start} to {})", start + rows - 1);
            guarded(|| reader.finish()).map_err(|cause| damaged(file, &place, &cause))?;
        }
    }
    Ok(())
}

fn open(file: &Path) -> Result<ParquetReader<File>> {
    let file_handle = File::open(file).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::data(file, "is missing; write the table again, or take it from a copy"),
        _ => Error::data(file, format!("can't be opened ({cause})")),
    })?;
    Ok(ParquetReader::new(file_handle))
}

fn columns(file: &Path) -> Result<Columns> {
    let mut reader = open(file)?;
    let schema = guarded(|| reader.schema()).map_err(|cause| damaged(file, "its footer", &cause))?;
    Ok(schema.iter().map(|(name, field)| (name.to_string(), format!("{:?}", field.dtype()))).collect())
}

fn compare(file: &Path, columns: &Columns, other: &Path, expected: &Columns) -> Result<()> {
    let other = other.display();
    let differs =
        |reason: String| Err(Error::data(file, format!("{reason}; files of one table must have the same columns")));
    for (name, kind) in expected {
        match columns.iter().find(|(own, _)| own == name) {
            None => return differs(format!("has no column '{name}', which {other} has")),
            Some((_, own)) if own != kind => {
                return differs(format!("has {own} in the column '{name}', where {other} has {kind}"));
            }
            Some(_) => {}
        }
    }
    match columns.iter().find(|(name, _)| !expected.iter().any(|(known, _)| known == name)) {
        Some((name, _)) => differs(format!("has a column '{name}', which {other} does not have")),
        None => Ok(()),
    }
}

/// What a reader says, or what it panics with: damaged bytes can make it do either.
pub(super) fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|cause| cause.to_string()),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(ToString::to_string);
            Err(text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unreadable".to_string()))
        }
    }
}

fn damaged(file: &Path, place: &str, cause: &str) -> Error {
    let cause = cause.lines().next().unwrap_or_default();
    Error::data(file, format!("is damaged: {place} can't be read ({cause}); write it again, or take it from a copy"))
}
