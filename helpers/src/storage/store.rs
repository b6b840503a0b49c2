//! A table on the disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::object_store::{self, StoreOptions};
use super::writer::{Layout, Part, failure, make_readable, write};
use super::{Table, fault, url};
use crate::display::Progress;
use crate::error::{Error, Result};

/// Stands in a partitioned table's folder, and with its name appended beside a single file.
const MANIFEST: &str = "table.json";

/// Files that hold one table.
///
/// ```
/// use onramp::prelude::*;
///
/// # let folder = std::env::temp_dir().join(format!("onramp-example-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let table = Teacher::new(10_000).columns(8);
/// let store = Store::write(folder.join("teacher"), table, Layout::Partitioned { rows_per_file: 4096 })?;
/// assert_eq!(store.files().len(), 3);
/// assert_eq!(Store::open(folder.join("teacher"))?, store);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    path: PathBuf,
    files: Vec<PathBuf>,
    manifest: Option<Manifest>,
    pub(super) options: StoreOptions,
}

/// From what the files were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    table: Table,
    layout: Layout,
}

impl Store {
    /// Writes a table to `path`: a file, or for [`Layout::Partitioned`] a folder.
    ///
    /// Rows are made as they are written, so memory stays flat however many there are. A file stands under its name when all
    /// of it is there; an interrupted write goes on with the first file that is not.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a table or layout that makes no sense, or a name that does not fit it; [`Error::Data`] with
    /// the file when something else is there, or the disk is full; [`Error::Interrupted`].
    pub fn write(path: impl Into<PathBuf>, table: impl Into<Table>, layout: Layout) -> Result<Self> {
        let (path, table) = (path.into(), table.into());
        if url(&path).is_some() {
            return Err(Error::data(
                &path,
                "can't be written: tables are made on the disk; write one there, and copy it",
            ));
        }
        let manifest = Manifest { table, layout };
        let maker = table.maker()?;
        layout.validate(&maker)?;
        let wanted = match layout {
            Layout::Csv => Some("csv"),
            Layout::Parquet => Some("parquet"),
            Layout::Partitioned { .. } => None,
        };
        let extension = path.extension().and_then(|extension| extension.to_str());
        if wanted.is_some_and(|wanted| extension != Some(wanted)) {
            let wanted = wanted.unwrap_or_default();
            return Err(Error::invalid(format!(
                "{} is no name for such a file; end it with .{wanted}",
                path.display()
            )));
        }
        note(&path, &manifest)?;
        let parts = layout.parts(&path, table.rows());
        let mut progress = Progress::new("writing rows", Some(table.rows()));
        for part in &parts {
            if part.file.is_file() {
                progress.advance(part.end - part.start);
                continue;
            }
            write(&table, &maker, layout, part, &mut progress)?;
        }
        let files = parts.into_iter().map(|part| part.file).collect();
        Ok(Self { files, path, manifest: Some(manifest), options: StoreOptions::default() })
    }

    /// A table that is there: a CSV or Parquet file, or a folder with Parquet files in it or in folders below it, or else with
    /// CSV files. An `s3://` URL names such a file, folder, or pattern (`s3://bucket/table/part=*/rows.parquet`) in an object
    /// store; `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on are taken from the environment. An `http://` or `https://` URL
    /// names one file.
    ///
    /// # Errors
    /// [`Error::Data`] when there is nothing, or a file is missing of a table that was written by [`Store::write`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(path, [("", ""); 0])
    }

    /// As [`Store::open`], with options for an object store that polars knows, such as `aws_endpoint_url`.
    ///
    /// # Errors
    /// As for [`Store::open`]; [`Error::InvalidInput`] for an option that is none.
    pub fn open_with<Name: Into<String>, Value: Into<String>>(
        path: impl Into<PathBuf>,
        options: impl IntoIterator<Item = (Name, Value)>,
    ) -> Result<Self> {
        let mut known = StoreOptions::default();
        options.into_iter().for_each(|(name, value)| known.set(name, value));
        Self::reach(path.into(), known)
    }

    pub(super) fn reach(path: PathBuf, options: StoreOptions) -> Result<Self> {
        let (files, manifest) = match url(&path) {
            Some(url) => remote(url, &options)?,
            None => local(&path)?,
        };
        Ok(Self { path, files, manifest, options })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files, in the order of their rows.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What was written, if [`Store::write`] did it.
    pub fn table(&self) -> Option<&Table> {
        self.manifest.as_ref().map(|manifest| &manifest.table)
    }

    /// Bytes of all files.
    ///
    /// # Errors
    /// [`Error::Data`] when a file has gone.
    pub fn bytes(&self) -> Result<u64> {
        let length = |file: &PathBuf| {
            if let Some(url) = url(file) {
                return object_store::size(url, &self.options);
            }
            fs::metadata(file).map(|found| found.len()).map_err(|cause| Error::data(file, format!("is gone ({cause})")))
        };
        self.files.iter().map(length).sum()
    }

    pub(super) fn is_csv(&self) -> bool {
        self.files.first().and_then(|file| ending(file)).is_some_and(|ending| ending == CSV)
    }

    /// Whether its files may lie in folders such as `part=0`, whose names are columns.
    pub(super) fn is_folder(&self) -> bool {
        self.files != [self.path.clone()]
    }

    /// Reads every row group of every file. Of CSV, which has none, only whether the files are there.
    ///
    /// # Errors
    /// [`Error::Data`] with the first file that is missing, has other columns than the first one, or is damaged, and the row
    /// group.
    pub fn check(&self) -> Result<()> {
        if self.is_csv() {
            return self.bytes().map(|_| ());
        }
        fault::find(self, &self.files)
    }
}

/// The files on the disk, and what they were made from.
fn local(path: &Path) -> Result<(Vec<PathBuf>, Option<Manifest>)> {
    let manifest = read_manifest(path)?;
    let files = match &manifest {
        Some(Manifest { table, layout }) => {
            expected_files(path, layout.parts(path, table.rows()), |file| file.is_file())?
        }
        None if path.is_dir() => match files_below(path, &PARQUET)? {
            none if none.is_empty() => files_below(path, &[CSV])?,
            files => files,
        },
        None => vec![path.to_path_buf()],
    };
    if files.is_empty() {
        return Err(Error::data(path, "is a folder without .parquet or .csv files; name another one, or a file"));
    }
    if let Some(missing) = files.iter().find(|file| !file.is_file()) {
        return Err(Error::data(missing, "is missing; look at its name and folder"));
    }
    Ok((files, manifest))
}

/// The files in an object store, and what they were made from.
fn remote(url: &str, options: &StoreOptions) -> Result<(Vec<PathBuf>, Option<Manifest>)> {
    let path = Path::new(url);
    let is_pattern = url.contains(['*', '[']);
    let is_file = ending(path).is_some_and(|ending| ending == CSV || PARQUET.contains(&ending.as_str()));
    if is_file && !is_pattern || object_store::is_web(url) {
        // Only asks whether it is there.
        object_store::size(url, options)?;
        return Ok((vec![path.to_path_buf()], None));
    }
    let folder = url.trim_end_matches('/');
    let pattern = if is_pattern { url.to_string() } else { format!("{folder}/**/*.parquet") };
    let found = object_store::list(url, &pattern, &format!("{folder}/{MANIFEST}"), options)?;
    let mut files: Vec<PathBuf> = found.files.into_iter().map(PathBuf::from).collect();
    if files.is_empty() {
        return Err(Error::data(path, "holds no .parquet files; look at the bucket and the name"));
    }
    files.sort_by_key(|file| natural(&file.to_string_lossy()));
    let description = found.description.filter(|_| !is_pattern);
    let manifest = description.map(|text| parsed(&String::from_utf8_lossy(&text), &path.join(MANIFEST))).transpose()?;
    if let Some(Manifest { table, layout }) = &manifest {
        files = expected_files(path, layout.parts(path, table.rows()), |file| files.contains(&file.to_path_buf()))?;
    }
    Ok((files, manifest))
}

/// Writes down what is going to be written to `path`, unless that is noted already.
fn note(path: &Path, manifest: &Manifest) -> Result<()> {
    let refuse = |reason: &str| Err(Error::data(path, reason));
    let text = serde_json::to_string(manifest).map_err(|cause| Error::invalid(cause.to_string()))?;
    match read_manifest_of(path, manifest.layout)? {
        // Compared as it is read, since JSON does not keep the last bit of every number.
        Some(found) if parsed(&text, path)? == found => return Ok(()),
        // A note of a table that was deleted, or of which nothing was written.
        Some(found) if !found.layout.parts(path, found.table.rows()).iter().any(|part| part.file.exists()) => {}
        Some(_) => return refuse("holds another table; delete it, or choose another name"),
        None if path.exists() && !is_empty_folder(path) => {
            return refuse("is there already, and was not written as this table; delete it, or choose another name");
        }
        None => {}
    }
    let file = manifest_file(path, matches!(manifest.layout, Layout::Partitioned { .. }));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |cause: std::io::Error| failure(&file, &cause.to_string());
    fs::create_dir_all(folder).map_err(failed)?;
    let mut temporary = NamedTempFile::new_in(folder).map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    make_readable(temporary.as_file()).map_err(failed)?;
    temporary.persist(&file).map(|_| ()).map_err(|refused| failed(refused.error))
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn manifest_file(path: &Path, is_folder: bool) -> PathBuf {
    if is_folder {
        return path.join(MANIFEST);
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(MANIFEST);
    path.with_file_name(name)
}

fn read_manifest(path: &Path) -> Result<Option<Manifest>> {
    read_manifest_file(&manifest_file(path, path.is_dir()))
}

fn read_manifest_of(path: &Path, layout: Layout) -> Result<Option<Manifest>> {
    read_manifest_file(&manifest_file(path, matches!(layout, Layout::Partitioned { .. })))
}

fn read_manifest_file(file: &Path) -> Result<Option<Manifest>> {
    fs::read_to_string(file).ok().map(|text| parsed(&text, file)).transpose()
}

fn parsed(text: &str, file: &Path) -> Result<Manifest> {
    let damaged = |cause| Error::data(file, format!("does not describe a table ({cause}); delete it with its table"));
    serde_json::from_str(text).map_err(damaged)
}

/// The files of all parts, if they are there.
fn expected_files(path: &Path, parts: Vec<Part>, is_there: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let missing: Vec<usize> = (0..parts.len()).filter(|index| !is_there(&parts[*index].file)).collect();
    if let Some(first) = missing.first() {
        return Err(Error::data(
            &parts[*first].file,
            format!(
                "is missing ({} of {} files of {} are); write the table again, which makes only what is not there",
                missing.len(),
                parts.len(),
                path.display()
            ),
        ));
    }
    Ok(parts.into_iter().map(|part| part.file).collect())
}

/// The endings of Parquet files.
pub(super) const PARQUET: [&str; 2] = ["parquet", "pq"];
/// And of CSV files.
const CSV: &str = "csv";

/// The ending of a file's name or address, without a question to the server, in small letters.
pub(super) fn ending(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let text = if url(path).is_some() { text.split(['?', '#']).next()? } else { text };
    Some(Path::new(text).extension()?.to_str()?.to_ascii_lowercase())
}

/// All files of these kinds in a folder and below it, in the order of their names: numbers in them by size. Names that begin with
/// a point or `_` are passed over, as in Hive: copies that editors keep, and files that are not complete.
fn files_below(folder: &Path, kinds: &[&str]) -> Result<Vec<PathBuf>> {
    let unreadable = |cause: std::io::Error| Error::data(folder, format!("can't be read ({cause})"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_'])) {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path, kinds)?);
        } else if ending(&path).is_some_and(|ending| kinds.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    files.sort_by_key(|file| natural(&file.to_string_lossy()));
    Ok(files)
}

/// Text cut into what is no number, and numbers.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let words = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(words);
        let digits = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        parts.push((word.to_string(), number.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    parts
}
