//! Sums of groups of rows, of one piece of a table at a time.
//!
//! A few thousand rows are summed up where they are, each group in a place that its key points to, and only the sums go on to be
//! merged. A general grouping hashes every row instead, and copies rows of a group together.

use polars::prelude::{
    ChunkedArray, Column, DataFrame, DataType, Field, NamedFrom, PlSmallStr, PolarsNumericType, PolarsResult, Schema,
    SchemaRef, Series,
};

/// Rows next to each other add to different numbers, so that an addition need not wait for the one before it.
const LANES: usize = 4;
/// More sums than these (64 kB) are kept once each, to stay in the nearest cache.
const MOST_SUMS_IN_LANES: usize = 8 << 10;

/// The column of keys, in pieces and sums alike.
pub(super) const KEY: &str = "key";
/// Rows of a group.
pub(super) const ROWS: &str = "rows";

/// The name of a column of values in a piece.
pub(super) fn value(index: usize) -> PlSmallStr {
    format!("value{index}").into()
}

/// The name of its sum.
pub(super) fn sum(index: usize) -> PlSmallStr {
    format!("sum{index}").into()
}

/// The name of how many values were summed up.
pub(super) fn count(index: usize) -> PlSmallStr {
    format!("count{index}").into()
}

/// The columns of [`of_piece`].
pub(super) fn schema(values: usize) -> SchemaRef {
    let start = [Field::new(KEY.into(), DataType::Int64), Field::new(ROWS.into(), DataType::UInt64)];
    let of_value = |index| [Field::new(sum(index), DataType::Float64), Field::new(count(index), DataType::UInt64)];
    Schema::from_iter(start.into_iter().chain((0..values).flat_map(of_value))).into()
}

/// The group of each row.
struct Groups {
    of_row: Vec<u32>,
    /// The key of each group; none for rows without one.
    keys: Vec<Option<i64>>,
}

impl Groups {
    /// By whole numbers.
    fn by(keys: &Column) -> PolarsResult<Self> {
        Ok(match keys.dtype() {
            DataType::UInt32 => Self::numbered(keys.u32()?),
            DataType::Int64 => Self::numbered(keys.i64()?),
            _ => Self::numbered(keys.cast(&DataType::Int64)?.i64()?),
        })
    }

    /// A group for each number from the lowest to the highest where that is fewer than there are rows; a group for each row where
    /// it is not, so that nothing here ever outgrows the piece.
    fn numbered<Kind>(keys: &ChunkedArray<Kind>) -> Self
    where
        Kind: PolarsNumericType<Native: Into<i64>>,
    {
        let parts = || keys.downcast_iter().map(|part| part.values().as_slice());
        let is_complete = keys.null_count() == 0;
        let (mut lowest, mut highest) = (i64::MAX, i64::MIN);
        let mut widen = |key: i64| (lowest, highest) = (lowest.min(key), highest.max(key));
        if is_complete {
            parts().for_each(|part| part.iter().for_each(|key| widen((*key).into())));
        } else {
            keys.iter().flatten().for_each(|key| widen(key.into()));
        }
        let span = highest.checked_sub(lowest).and_then(|span| usize::try_from(span).ok());
        let Some(span) = span.filter(|span| *span < keys.len()) else {
            let keys = keys.iter().map(|key| key.map(Into::into)).collect::<Vec<_>>();
            return Self { of_row: (0..keys.len() as u32).collect(), keys };
        };
        // The first group is that of the rows without a key.
        let group = |key: i64| (key - lowest + 1) as u32;
        let mut of_row = Vec::with_capacity(keys.len());
        if is_complete {
            parts().for_each(|part| of_row.extend(part.iter().map(|key| group((*key).into()))));
        } else {
            of_row.extend(keys.iter().map(|key| key.map_or(0, |key| group(key.into()))));
        }
        let numbered = (0..=span as i64).map(|index| Some(lowest + index));
        Self { of_row, keys: [None].into_iter().chain(numbered).collect() }
    }

    /// All rows in one.
    fn single(rows: usize) -> Self {
        Self { of_row: vec![0; rows], keys: vec![Some(0)] }
    }
}

/// A number for each group that grows row by row.
struct Totals {
    /// Places of each group.
    lanes: usize,
    sums: Vec<f64>,
}

impl Totals {
    fn of(groups: &Groups) -> Self {
        let count = groups.keys.len();
        let lanes = if count * LANES <= MOST_SUMS_IN_LANES { LANES } else { 1 };
        Self { lanes, sums: vec![0.0; count * lanes] }
    }

    fn add<Value: Copy + Into<f64>>(&mut self, of_row: &[u32], values: &[Value]) {
        match self.lanes {
            LANES => self.add_in::<LANES, _>(of_row, values),
            _ => self.add_in::<1, _>(of_row, values),
        }
    }

    fn add_in<const COUNT: usize, Value: Copy + Into<f64>>(&mut self, of_row: &[u32], values: &[Value]) {
        let (groups, values) = (of_row.chunks_exact(COUNT), values.chunks_exact(COUNT));
        let rest = groups.remainder().iter().zip(values.remainder());
        for (groups, values) in groups.zip(values) {
            for lane in 0..COUNT {
                self.sums[groups[lane] as usize * COUNT + lane] += values[lane].into();
            }
        }
        for (group, value) in rest {
            self.sums[*group as usize * COUNT] += (*value).into();
        }
    }

    fn add_to(&mut self, group: u32, value: f64) {
        self.sums[group as usize * self.lanes] += value;
    }

    fn finish(self) -> Vec<f64> {
        self.sums.chunks_exact(self.lanes).map(|lanes| lanes.iter().sum()).collect()
    }
}

/// Rows, sums and counts of the groups in a piece, which has a column of whole numbers as keys if `by_key`, and columns of
/// values. Missing values are not counted.
pub(super) fn of_piece(piece: &DataFrame, by_key: bool, values: usize) -> PolarsResult<DataFrame> {
    let groups = if by_key { Groups::by(piece.column(KEY)?)? } else { Groups::single(piece.height()) };
    let mut rows = Totals::of(&groups);
    rows.add(&groups.of_row, &vec![1_u8; piece.height()]);
    let rows = rows.finish();
    let found: Vec<usize> = (0..rows.len()).filter(|group| rows[*group] > 0.0).collect();
    let keys: Vec<Option<i64>> = found.iter().map(|group| groups.keys[*group]).collect();
    let counts_of = |all: &[f64]| found.iter().map(|group| all[*group] as u64).collect::<Vec<u64>>();
    let mut columns = vec![Series::new(KEY.into(), keys), Series::new(ROWS.into(), counts_of(&rows))];
    for index in 0..values {
        let column = piece.column(&value(index))?.as_materialized_series();
        let (sums, counts) = match column.dtype() {
            DataType::Float32 => summed(&groups, column.f32()?),
            DataType::Float64 => summed(&groups, column.f64()?),
            _ => summed(&groups, column.cast(&DataType::Float64)?.f64()?),
        };
        columns.push(Series::new(sum(index), found.iter().map(|group| sums[*group]).collect::<Vec<f64>>()));
        columns.push(Series::new(count(index), counts_of(counts.as_deref().unwrap_or(&rows))));
    }
    DataFrame::new(found.len(), columns.into_iter().map(Column::from).collect())
}

/// The sum of each group's values; and how many there are, if some are missing.
fn summed<Kind>(groups: &Groups, values: &ChunkedArray<Kind>) -> (Vec<f64>, Option<Vec<f64>>)
where
    Kind: PolarsNumericType<Native: Into<f64>>,
{
    let mut sums = Totals::of(groups);
    if values.null_count() == 0 {
        let mut of_row = groups.of_row.as_slice();
        for part in values.downcast_iter() {
            let (here, after) = of_row.split_at(part.values().len());
            sums.add(here, part.values());
            of_row = after;
        }
        return (sums.finish(), None);
    }
    let mut counts = Totals::of(groups);
    for (group, value) in groups.of_row.iter().zip(values.iter()) {
        if let Some(value) = value {
            sums.add_to(*group, value.into());
            counts.add_to(*group, 1.0);
        }
    }
    (sums.finish(), Some(counts.finish()))
}
