//! The means of groups of rows, as a plan for polars' streaming engine: the rows are read, filtered and summed up piece by piece
//! on all threads, and the sums merged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polars::prelude::{
    AllowedOptimizations, DataFrame, DataType, Engine, Expr, IntoLazy, LazyFrame, PolarsError, PolarsResult, Schema,
    SortMultipleOptions, col, len, lit,
};

use super::group_sums::{self, KEY, ROWS};
use super::{Filter, Group, Reading, Scan};
use crate::error::{Error, Result};

/// What is wanted of the rows, and whether it still is.
pub(super) struct GroupMeans {
    pub(super) scan: Scan,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl GroupMeans {
    /// # Errors
    /// Polars' own for what can't be read; within, [`Error::Data`] for a column that is missing or holds no numbers.
    pub(super) fn of(&self, mut rows: LazyFrame) -> PolarsResult<Result<Vec<Group>>> {
        let schema = rows.collect_schema()?;
        if let Err(unfit) = self.check(&schema) {
            return Ok(Err(unfit));
        }
        let Scan { by, mean_of, filter, reading, .. } = &self.scan;
        if *reading == Reading::Eager {
            rows = self.collect(self.watched(rows))?.lazy();
        }
        if let Some(Filter { column, from, to }) = filter {
            let is_whole = schema.get(column.as_str()).is_some_and(DataType::is_integer);
            let column = || col(column.as_str());
            rows = rows.filter(column().gt_eq(bound(*from, is_whole)).and(column().lt(bound(*to, is_whole))));
        }
        if by.is_none() && mean_of.is_empty() {
            let counted = self.collect(rows.select([len().cast(DataType::UInt64).alias(ROWS)]))?;
            return Ok(Ok(vec![Group { key: 0.0, rows: numbers(&counted, ROWS)?[0] as u64, means: Vec::new() }]));
        }
        let key = by.iter().map(|column| col(column.as_str()).alias(KEY));
        let values =
            mean_of.iter().enumerate().map(|(index, column)| col(column.as_str()).alias(group_sums::value(index)));
        let pieces = rows.select(key.chain(values).collect::<Vec<_>>());
        let kind = by.as_ref().and_then(|column| schema.get(column.as_str()));
        let sums = if kind.is_none_or(is_whole_number) { self.summed(pieces) } else { self.grouped(pieces) };
        let sums = self.collect(sums.sort([KEY], SortMultipleOptions::default()))?;
        self.groups(&sums).map(Ok)
    }

    /// Sums of pieces, merged.
    fn summed(&self, pieces: LazyFrame) -> LazyFrame {
        let (by_key, values, cancelled) =
            (self.scan.by.is_some(), self.scan.mean_of.len(), Arc::clone(&self.cancelled));
        let sum_up = move |piece: DataFrame| {
            check(&cancelled)?;
            group_sums::of_piece(&piece, by_key, values)
        };
        let schema = group_sums::schema(values);
        let schema = Arc::new(move |_: &Schema| Ok(Arc::clone(&schema)));
        let merged = |index| [group_sums::sum(index), group_sums::count(index)].map(|name| col(name).sum());
        let merged: Vec<Expr> = [col(ROWS).sum()].into_iter().chain((0..values).flat_map(merged)).collect();
        let sums = pieces.map(sum_up, AllowedOptimizations::STREAMING, Some(schema), Some("sums of groups"));
        sums.group_by([col(KEY)]).agg(merged)
    }

    /// The same for keys that are not whole numbers.
    fn grouped(&self, pieces: LazyFrame) -> LazyFrame {
        let of_value = |index| {
            let value = || col(group_sums::value(index));
            [
                value().cast(DataType::Float64).sum().alias(group_sums::sum(index)),
                value().count().alias(group_sums::count(index)),
            ]
        };
        let sums = [len().alias(ROWS)].into_iter().chain((0..self.scan.mean_of.len()).flat_map(of_value));
        self.watched(pieces).group_by([col(KEY)]).agg(sums.collect::<Vec<_>>())
    }

    /// The same rows, until nobody wants them any more.
    fn watched(&self, rows: LazyFrame) -> LazyFrame {
        let cancelled = Arc::clone(&self.cancelled);
        let pass = move |piece: DataFrame| check(&cancelled).map(|()| piece);
        rows.map(pass, AllowedOptimizations::STREAMING, None, Some("watched"))
    }

    fn collect(&self, plan: LazyFrame) -> PolarsResult<DataFrame> {
        plan.collect_with_engine(Engine::Streaming).map(|result| result.unwrap_single())
    }

    /// # Errors
    /// [`Error::Data`] for a column that is missing or holds no numbers.
    fn check(&self, schema: &Schema) -> Result<()> {
        let Scan { path, by, mean_of, filter, .. } = &self.scan;
        if let Some(Filter { column, from, to }) =
            filter.as_ref().filter(|filter| filter.from.is_nan() || filter.to.is_nan())
        {
            let text = format!("no value of '{column}' is at least {from} and below {to}; give two numbers");
            return Err(Error::invalid(text));
        }
        for column in mean_of.iter().chain(by).chain(filter.as_ref().map(|filter| &filter.column)) {
            match schema.get(column.as_str()) {
                Some(kind) if kind.is_primitive_numeric() || kind.is_decimal() || kind.is_bool() => {}
                Some(kind) => {
                    return Err(Error::data(
                        path,
                        format!("has {kind} in the column '{column}', not numbers; name another"),
                    ));
                }
                None => {
                    let names: Vec<&str> = schema.iter_names().map(|name| name.as_str()).collect();
                    let names = names.join(", ");
                    return Err(Error::data(path, format!("has no column '{column}'; its columns are {names}")));
                }
            }
        }
        Ok(())
    }

    fn groups(&self, sums: &DataFrame) -> PolarsResult<Vec<Group>> {
        let values = self.scan.mean_of.len();
        let (keys, rows) = (numbers(sums, KEY), numbers(sums, ROWS)?);
        let keys = if self.scan.by.is_some() { keys? } else { vec![0.0; rows.len()] };
        let all = |name: fn(usize) -> polars::prelude::PlSmallStr| {
            (0..values).map(|index| numbers(sums, &name(index))).collect::<PolarsResult<Vec<_>>>()
        };
        let (totals, counts) = (all(group_sums::sum)?, all(group_sums::count)?);
        let group = |row: usize| Group {
            key: keys[row],
            rows: rows[row] as u64,
            // 0 / 0 is not a number, and neither is the mean of nothing.
            means: totals.iter().zip(&counts).map(|(total, count)| total[row] / count[row]).collect(),
        };
        let groups: Vec<Group> = (0..sums.height()).map(group).collect();
        let is_single = self.scan.by.is_none() && groups.is_empty();
        Ok(if is_single { vec![Group { key: 0.0, rows: 0, means: vec![f64::NAN; values] }] } else { groups })
    }
}

/// A bound of a filter. Whole numbers are compared with whole ones, so that those that a file's footer holds can be, too.
fn bound(value: f64, is_whole: bool) -> Expr {
    let next = value.ceil();
    if is_whole && next.abs() < f64::from(i32::MAX) { lit(next as i32) } else { lit(value) }
}

fn check(cancelled: &AtomicBool) -> PolarsResult<()> {
    if cancelled.load(Ordering::Relaxed) { Err(PolarsError::ComputeError("interrupted".into())) } else { Ok(()) }
}

/// Whether its values fit 64 bits with a sign.
fn is_whole_number(kind: &DataType) -> bool {
    use DataType::{Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32};
    matches!(kind, Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32)
}

/// A column; what is missing is not a number.
fn numbers(frame: &DataFrame, name: &str) -> PolarsResult<Vec<f64>> {
    let column = frame.column(name)?.cast(&DataType::Float64)?;
    Ok(column.f64()?.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}
