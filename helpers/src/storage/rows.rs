//! The rows of a store as polars reads them: described, and not read yet.

use std::path::{Path, PathBuf};

use polars::io::HiveOptions;
use polars::prelude::{
    IdxSize, LazyCsvReader, LazyFileListReader, LazyFrame, PlRefPath, PolarsError, PolarsResult, ScanArgsParquet,
    ScanSources,
};

use super::shard::Share;
use super::{Store, url};
use crate::error::{Error, Result};

/// Of a CSV file, whose columns get the types of these rows. All rows would be read twice.
const ROWS_THAT_TELL_TYPES: usize = 10_000;

/// All columns of a worker's share. The names of folders such as `part=0` are a column too.
///
/// # Errors
/// [`Error::InvalidInput`] for an option that polars does not know, and a share of too many rows.
pub(super) fn rows(store: &Store, share: &Share) -> Result<LazyFrame> {
    let cloud_options = url(store.path()).map(|url| store.options.cloud(url)).transpose()?;
    let unfit = |cause: PolarsError| Error::data(store.path(), format!("can't be read ({cause})"));
    let sources = sources(&share.files).map_err(unfit)?;
    let rows = if store.is_csv() {
        let reader = LazyCsvReader::new_with_sources(sources).with_has_header(true).with_glob(false);
        let reader = reader.with_infer_schema_length(Some(ROWS_THAT_TELL_TYPES));
        reader.with_cloud_options(cloud_options).finish()
    } else {
        let enabled = Some(store.is_folder() && are_named_alike(&share.files));
        let hive_options = HiveOptions { enabled, ..HiveOptions::default() };
        let args = ScanArgsParquet { cloud_options, hive_options, glob: false, ..ScanArgsParquet::default() };
        LazyFrame::scan_parquet_sources(sources, args)
    };
    let rows = rows.map_err(unfit)?;
    let Some(part) = &share.rows else { return Ok(rows) };
    match (i64::try_from(part.start), IdxSize::try_from(part.len())) {
        (Ok(start), Ok(length)) => Ok(rows.slice(start, length)),
        _ => Err(Error::invalid(format!(
            "a shard of {} rows is too large; at most {} are read in one: use more workers",
            part.len(),
            IdxSize::MAX
        ))),
    }
}

fn sources(files: &[PathBuf]) -> PolarsResult<ScanSources> {
    let paths = files.iter().map(|file| PlRefPath::try_from_path(file)).collect::<PolarsResult<_>>()?;
    Ok(ScanSources::Paths(paths))
}

/// Whether all files lie in folders that give the same columns.
fn are_named_alike(files: &[PathBuf]) -> bool {
    let names = |file: &Path| -> Vec<String> {
        let folders = file.parent().into_iter().flat_map(Path::components);
        folders.filter_map(|folder| Some(folder.as_os_str().to_str()?.split_once('=')?.0.to_string())).collect()
    };
    files.windows(2).all(|pair| names(&pair[0]) == names(&pair[1]))
}
