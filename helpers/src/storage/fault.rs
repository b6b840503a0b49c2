//! What is wrong with a table's files. A reader of many files says that one is damaged, but not always which and where; so
//! after it has failed the files are looked at one by one.

use std::path::{Path, PathBuf};

use super::Store;
use super::parquet_file::{Columns, ParquetFile};
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// # Errors
/// [`Error::Data`] with the first fault of some files of a store.
pub(super) fn find(store: &Store, files: &[PathBuf]) -> Result<()> {
    let mut first: Option<(&Path, Columns)> = None;
    for path in files {
        let file = ParquetFile::new(path, store);
        let footer = file.footer()?;
        match &first {
            None => first = Some((path, footer.columns)),
            Some((other, expected)) => compare(path, &footer.columns, &other.display().to_string(), expected)?,
        }
        for (number, (start, rows)) in footer.groups.into_iter().enumerate() {
            check_interrupt()?;
            let place = || format!("row group {number} (rows {start} to {})", start + rows - 1);
            file.read(start, rows)?.map_err(|cause| file.damaged(&place(), &cause))?;
        }
    }
    Ok(())
}

/// # Errors
/// [`Error::Data`] for a file whose columns are not those of `other`.
pub(super) fn compare(file: &Path, columns: &Columns, other: &str, expected: &Columns) -> Result<()> {
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
