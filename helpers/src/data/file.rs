//! The learner's own rows, from a CSV file with a header or a Parquet file.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use polars::prelude::{
    Column, CsvReadOptions, DataFrame, DataType, ParquetReader, PolarsError, PolarsResult, SerReader,
};

use super::Dataset;
use crate::error::{Error, Result};

/// With fewer rows neither part of a split tells anything.
const FEWEST_ROWS: usize = 20;

/// Reads all columns of numbers as features, and the column `label` as whole numbers, one for each class. The classes
/// are numbered from 0 in the order of these numbers.
///
/// # Errors
/// [`Error::Data`] with the column, the row and the value when the file can't be read, the column is missing, a value
/// is missing or is no number, or there are too few rows or classes.
pub fn load(path: &Path, label: &str) -> Result<Dataset> {
    let refuse = |reason: String| Error::data(path, reason);
    let frame = read(path)?;
    let names: Vec<&str> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
    if !names.contains(&label) {
        return Err(refuse(format!("has no column '{label}'; its columns are {}", listed(&names))));
    }
    if frame.height() < FEWEST_ROWS {
        let rows = frame.height();
        return Err(refuse(format!("has {rows} rows; at least {FEWEST_ROWS} are needed to learn and to judge")));
    }
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for column in frame.columns() {
        let values = numbers(column).map_err(refuse)?;
        if column.name() == label { labels = values } else { features.push(values) }
    }
    if features.is_empty() {
        return Err(refuse(format!("has no column but '{label}'; there is nothing to learn it from")));
    }
    let (labels, classes) = numbered(label, &labels).map_err(refuse)?;
    let rows = (0..frame.height()).flat_map(|row| features.iter().map(move |column| column[row] as f32)).collect();
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Dataset::new(&name, features.len(), classes, rows, labels)
}

/// The whole file.
fn read(path: &Path) -> Result<DataFrame> {
    let refuse = |reason: String| Error::data(path, reason);
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let parse: fn(Vec<u8>) -> PolarsResult<DataFrame> = match &*extension {
        "csv" => |bytes| {
            // The type of a column is decided by all of its values.
            let options = CsvReadOptions::default().with_has_header(true).with_infer_schema_length(None);
            options.into_reader_with_file_handle(Cursor::new(bytes)).finish()
        },
        "parquet" | "pq" => |bytes| ParquetReader::new(Cursor::new(bytes)).finish(),
        _ => return Err(refuse("is neither .csv nor .parquet; save it as one of them".to_string())),
    };
    let bytes = fs::read(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => refuse("is missing; look at its name and folder".to_string()),
        std::io::ErrorKind::IsADirectory => refuse("is a folder; name a file in it".to_string()),
        _ => refuse(format!("can't be read ({cause})")),
    })?;
    if bytes.is_empty() {
        return Err(refuse("is empty".to_string()));
    }
    let broken = |cause: PolarsError| {
        let cause = cause.to_string();
        refuse(format!("is damaged or no {extension} file ({})", cause.lines().next().unwrap_or_default()))
    };
    parse(bytes).map_err(broken)
}

/// The values of a column, or what is wrong with the first that is no finite number. Rows count from 1, after the
/// header.
pub(crate) fn numbers(column: &Column) -> Result<Vec<f64>, String> {
    let name = column.name();
    let missing = column.null_count();
    if missing > 0 {
        let first = column.is_null().iter().position(|null| null == Some(true)).unwrap_or_default() + 1;
        return Err(format!(
            "has {missing} missing value{} in the column '{name}', the first in row {first}; fill in what is missing, \
             or leave out these rows",
            if missing == 1 { "" } else { "s" }
        ));
    }
    if !(column.dtype().is_primitive_numeric() || column.dtype().is_decimal() || column.dtype().is_bool()) {
        let texts = column.cast(&DataType::String).map_err(|cause| cause.to_string())?;
        let texts = texts.str().map_err(|cause| cause.to_string())?;
        let first = texts.iter().flatten().position(|text| text.trim().parse::<f64>().is_err()).unwrap_or_default();
        return Err(format!(
            "has '{}' in row {} of the column '{name}', which is no number; give each such text a number, or leave the \
             column out",
            texts.get(first).unwrap_or_default(),
            first + 1
        ));
    }
    let values = column.cast(&DataType::Float64).map_err(|cause| cause.to_string())?;
    let values: Vec<f64> =
        values.f64().map_err(|cause| cause.to_string())?.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
    match values.iter().position(|value| !(*value as f32).is_finite()) {
        Some(row) => Err(format!(
            "has {} in row {} of the column '{name}', which is no finite 32-bit number; fill it in, or leave out the row",
            values[row],
            row + 1
        )),
        None => Ok(values),
    }
}

/// A label column's values as classes, as they are numbered in it.
pub(crate) fn classes(name: &str, values: &[f64]) -> Result<Vec<u32>, String> {
    let is_class = |value: &f64| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value);
    match values.iter().position(|value| !is_class(value)) {
        Some(row) => Err(no_class(name, values, row, "classes are numbered 0, 1, 2 and so on")),
        None => Ok(values.iter().map(|value| *value as u32).collect()),
    }
}

/// The class of each row, and how many classes there are.
fn numbered(name: &str, values: &[f64]) -> Result<(Vec<u32>, usize), String> {
    if let Some(row) = values.iter().position(|value| value.fract() != 0.0) {
        return Err(no_class(name, values, row, "a class is a whole number"));
    }
    let mut classes = values.to_vec();
    classes.sort_by(f64::total_cmp);
    classes.dedup();
    if classes.len() == 1 {
        return Err(format!("has only the class {} in the column '{name}'; at least two are needed", classes[0]));
    }
    if 2 * classes.len() > values.len() {
        return Err(format!(
            "has {} different values in the {} rows of the column '{name}', so it does not name classes; choose another \
             label column",
            classes.len(),
            values.len()
        ));
    }
    let number = |value: &f64| classes.partition_point(|class| class < value) as u32;
    Ok((values.iter().map(number).collect(), classes.len()))
}

fn no_class(name: &str, values: &[f64], row: usize, because: &str) -> String {
    format!(
        "has {} in row {} of the column '{name}', but {because}; choose another label column, or number the classes",
        values[row],
        row + 1
    )
}

/// The first few names.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
