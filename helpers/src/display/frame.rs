//! A polars data frame as a [`Table`]: its shape, its types, and as many rows and columns as a reader looks at.

use polars::prelude::DataFrame;

use super::Table;

/// Rows shown at each end of a frame that is longer than both together.
const ROWS_AT_END: usize = 5;
/// Columns shown at each end of a frame that is wider than both together.
const COLUMNS_AT_END: usize = 5;
/// Stands for what is left out.
const LEFT_OUT: &str = "…";

impl From<&DataFrame> for Table {
    /// Rows and columns in the middle of a large frame are left out, each gap marked by "…".
    fn from(frame: &DataFrame) -> Table {
        let (height, width) = frame.shape();
        let rows = shown(height, ROWS_AT_END);
        let columns = shown(width, COLUMNS_AT_END);
        let series = frame.columns();
        let head = columns.iter().map(|column| match column {
            Some(column) => format!("{} ({})", series[*column].name(), series[*column].dtype()),
            None => LEFT_OUT.to_owned(),
        });
        let mut table = Table::new(format!("{height} rows, {width} columns"), head);
        for row in rows {
            table = table.row(columns.iter().map(|column| match (row, column) {
                (Some(row), Some(column)) => {
                    series[*column].get(row).map(|value| value.to_string()).unwrap_or_default()
                }
                _ => LEFT_OUT.to_owned(),
            }));
        }
        table
    }
}

/// The places that are shown of so many, none where some are left out.
fn shown(count: usize, at_end: usize) -> Vec<Option<usize>> {
    if count <= 2 * at_end + 1 {
        return (0..count).map(Some).collect();
    }
    (0..at_end).map(Some).chain([None]).chain((count - at_end..count).map(Some)).collect()
}
