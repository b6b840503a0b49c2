//! Which data an experiment uses, as a value that can be copied and serialised.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Split, Teacher, Text, digits, file};
use crate::error::Result;

/// The share of rows that only the evaluation sees.
const HELD_OUT: f64 = 0.2;

/// A description of a data set; [`Source::load`] makes or reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A synthetic set labelled by a fixed random network.
    Teacher(Teacher),
    /// The UCI handwritten digits: 1,797 images of 8 by 8 pixels.
    Digits,
    /// Texts made by a small grammar.
    Text(Text),
    /// The rows of a CSV or Parquet file.
    File {
        /// Where it is.
        path: PathBuf,
        /// The name of the column with the classes.
        label: String,
    },
}

impl Source {
    /// A synthetic set with this many rows of 784 numbers in 10 classes.
    pub fn teacher(rows: usize) -> Self {
        Self::Teacher(Teacher::new(rows))
    }

    /// The real handwritten digits.
    pub fn digits() -> Self {
        Self::Digits
    }

    /// So many sequences of 32 words out of 43, and the one that follows, made by a small grammar.
    pub fn text(sequences: usize) -> Self {
        Self::Text(Text::new(sequences))
    }

    /// The rows of your own file, CSV with a header or Parquet: the classes in the column `label`, as whole numbers,
    /// and everything else as features, as they are (numbers around 1 are the easiest to learn from).
    pub fn file(path: impl Into<PathBuf>, label: &str) -> Self {
        Self::File { path: path.into(), label: label.to_string() }
    }

    /// Makes or reads the data and keeps a fifth of it, chosen by `seed`, for the evaluation.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] when there are too few rows to split, [`crate::Error::Data`] when a file is
    /// missing, damaged, or not what can be learned from.
    pub fn load(&self, seed: u64) -> Result<Split> {
        match self {
            Self::Teacher(teacher) => teacher.generate()?.split(HELD_OUT, seed),
            Self::Digits => digits::load()?.split(HELD_OUT, seed),
            Self::Text(text) => text.generate()?.split(HELD_OUT, seed),
            Self::File { path, label } => file::load(path, label)?.split(HELD_OUT, seed),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Teacher(teacher) => write!(f, "{} rows labelled by a random network", teacher.rows()),
            Self::Digits => write!(f, "handwritten digits"),
            Self::File { path, label } => write!(f, "{}, column '{label}'", path.display()),
            Self::Text(text) => write!(f, "{} texts of {} words", text.sequences(), text.columns()),
        }
    }
}
