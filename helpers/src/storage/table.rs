//! Rows of any number, made part by part.

use std::fmt;

use polars::prelude::{Column, DataFrame};
use serde::{Deserialize, Serialize};

use crate::data::{RequestLog, Teacher, request_log, teacher};
use crate::error::{Error, Result};

/// A description of rows; the same description always gives the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Columns `x0`, `x1`, ... of 32-bit floats, and `label`, the class by the teacher.
    Teacher(Teacher),
    /// Columns `seconds`, `key`, and `x0`, `x1`, ... of 32-bit floats.
    Requests(RequestLog),
}

/// What making rows needs and all parts share.
pub(super) enum Maker {
    Teacher(Teacher, Box<teacher::Network>),
    Requests(RequestLog, request_log::Clock),
}

impl From<Teacher> for Table {
    fn from(teacher: Teacher) -> Self {
        Self::Teacher(teacher)
    }
}

impl From<RequestLog> for Table {
    fn from(log: RequestLog) -> Self {
        Self::Requests(log)
    }
}

impl Table {
    /// Rows in the table.
    pub fn rows(&self) -> usize {
        match self {
            Self::Teacher(teacher) => teacher.rows(),
            Self::Requests(log) => log.len(),
        }
    }

    /// The columns' names, in order.
    pub fn columns(&self) -> Vec<String> {
        let features = |count: usize| (0..count).map(|index| format!("x{index}"));
        match self {
            Self::Teacher(teacher) => features(teacher.column_count()).chain(["label".to_string()]).collect(),
            Self::Requests(log) => {
                ["seconds", "key"].into_iter().map(str::to_string).chain(features(log.feature_count())).collect()
            }
        }
    }

    /// # Errors
    /// [`Error::InvalidInput`] for a description that makes no sense.
    pub(super) fn maker(&self) -> Result<Maker> {
        match self {
            Self::Teacher(teacher) => {
                teacher.validate()?;
                Ok(Maker::Teacher(*teacher, Box::new(teacher::Network::fixed(teacher.column_count())?)))
            }
            Self::Requests(log) => {
                log.validate()?;
                Ok(Maker::Requests(*log, log.clock()?))
            }
        }
    }
}

impl Maker {
    /// Rows that are made at once.
    pub(super) fn chunk_rows(&self) -> usize {
        match self {
            Self::Teacher(..) => teacher::CHUNK,
            Self::Requests(..) => request_log::CHUNK,
        }
    }

    /// The rows from `chunk` x [`Maker::chunk_rows`] on.
    pub(super) fn chunk(&self, chunk: usize) -> Result<DataFrame> {
        let (rows, columns) = match self {
            Self::Teacher(teacher, network) => {
                let (features, labels) = teacher.chunk(network, chunk)?;
                let mut columns = feature_columns(labels.len(), teacher.column_count(), |row, column| {
                    features[row * teacher.column_count() + column]
                });
                columns.push(Column::new("label".into(), labels.as_slice()));
                (labels.len(), columns)
            }
            Self::Requests(log, clock) => {
                let requests = log.chunk(clock, chunk)?;
                let seconds: Vec<f64> = requests.iter().map(|request| request.seconds).collect();
                let keys: Vec<u32> = requests.iter().map(|request| request.key).collect();
                let mut columns = vec![Column::new("seconds".into(), seconds), Column::new("key".into(), keys)];
                let value = |row: usize, column: usize| requests[row].features[column];
                columns.extend(feature_columns(requests.len(), log.feature_count(), value));
                (requests.len(), columns)
            }
        };
        DataFrame::new(rows, columns).map_err(|cause| Error::invalid(format!("a table can't be made: {cause}")))
    }
}

fn feature_columns(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Vec<Column> {
    let values = |column: usize| (0..rows).map(|row| value(row, column)).collect::<Vec<f32>>();
    (0..columns).map(|column| Column::new(format!("x{column}").into(), values(column))).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Teacher(teacher) => {
                write!(f, "{} rows of {} numbers with a teacher's label", teacher.rows(), teacher.column_count())
            }
            Self::Requests(log) => write!(f, "{} requests with {} numbers each", log.len(), log.feature_count()),
        }
    }
}
