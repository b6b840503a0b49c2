//! Rows of numbers with a class each, and how they are split and put into batches.

use candle_core::Tensor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// A classification set in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    name: String,
    columns: usize,
    classes: usize,
    features: Vec<f32>,
    labels: Vec<u32>,
}

/// A set cut in two: one part to learn from, one to judge by.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The rows that training may see.
    pub train: Dataset,
    /// The rows that only the evaluation sees.
    pub held_out: Dataset,
}

/// Rows on a device, ready for a step.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Shape (rows, columns), 32-bit floats.
    pub features: Tensor,
    /// Shape (rows), class numbers.
    pub labels: Tensor,
}

impl Batch {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.elem_count()
    }
}

impl Dataset {
    /// A set from its rows: `features` holds them one after the other, `columns` numbers each.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the lengths don't fit together, there are no rows, or a label is not
    /// below `classes`.
    pub fn new(name: &str, columns: usize, classes: usize, features: Vec<f32>, labels: Vec<u32>) -> Result<Self> {
        if labels.is_empty() || columns == 0 {
            return Err(Error::invalid(format!(
                "the data set '{name}' has {} rows and {columns} columns; it needs at least one of each",
                labels.len()
            )));
        }
        if features.len() != labels.len() * columns {
            return Err(Error::invalid(format!(
                "the data set '{name}' has {} rows of {columns} columns but {} numbers; it needs {}",
                labels.len(),
                features.len(),
                labels.len() * columns
            )));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
            return Err(Error::invalid(format!(
                "the data set '{name}' has the label {label}, but its {classes} classes are numbered from 0 to {}",
                classes.saturating_sub(1)
            )));
        }
        Ok(Self { name: name.to_string(), columns, classes, features, labels })
    }

    /// What the set is called in tables and figures.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Numbers in each row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of classes; labels run from 0 to one below it.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of each row.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The numbers of one row.
    ///
    /// # Panics
    /// When `row` is not below [`Dataset::rows`].
    pub fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.columns..(row + 1) * self.columns]
    }

    /// The rows with these numbers, in this order, as a set of its own.
    ///
    /// # Panics
    /// When a number is not below [`Dataset::rows`].
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut features = Vec::with_capacity(rows.len() * self.columns);
        for &row in rows {
            features.extend_from_slice(self.row(row));
        }
        let labels = rows.iter().map(|&row| self.labels[row]).collect();
        Self { name: self.name.clone(), columns: self.columns, classes: self.classes, features, labels }
    }

    /// All rows in an order drawn from `seed`.
    pub fn shuffled(&self, seed: u64) -> Self {
        self.select(&shuffled_rows(self.rows(), seed))
    }

    /// All rows in the order of their classes, as files often come.
    pub fn sorted_by_class(&self) -> Self {
        let mut rows: Vec<usize> = (0..self.rows()).collect();
        rows.sort_by_key(|&row| self.labels[row]);
        self.select(&rows)
    }

    /// The part of worker `rank` of `world_size`: whole rows, in order, of (almost) equal count.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there are fewer rows than workers or `rank` is not below `world_size`.
    pub fn shard(&self, rank: usize, world_size: usize) -> Result<Self> {
        if world_size == 0 || rank >= world_size || world_size > self.rows() {
            return Err(Error::invalid(format!(
                "shard {rank} of {world_size} can't be cut from {} rows; ranks run from 0 to one below the number \
                 of workers, and each worker needs a row",
                self.rows()
            )));
        }
        let start = rank * self.rows() / world_size;
        let end = (rank + 1) * self.rows() / world_size;
        Ok(self.select(&(start..end).collect::<Vec<_>>()))
    }

    /// Shuffles with `seed` and keeps the share `held_out` (above 0, below 1) for the evaluation.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the share leaves one part without rows.
    pub fn split(&self, held_out: f64, seed: u64) -> Result<Split> {
        let kept = (self.rows() as f64 * held_out).round();
        if !(kept >= 1.0 && kept < self.rows() as f64) {
            return Err(Error::invalid(format!(
                "a held-out share of {held_out} of {} rows leaves one part empty; use a share such as 0.2",
                self.rows()
            )));
        }
        let rows = shuffled_rows(self.rows(), seed);
        let (held_out, train) = rows.split_at(kept as usize);
        Ok(Split { train: self.select(train), held_out: self.select(held_out) })
    }

    /// The rows with these numbers on a device.
    ///
    /// # Errors
    /// [`Error::Candle`] when the device has no memory left.
    ///
    /// # Panics
    /// When a number is not below [`Dataset::rows`].
    pub fn batch(&self, rows: &[usize], device: &candle_core::Device) -> Result<Batch> {
        let chosen = self.select(rows);
        Ok(Batch {
            features: Tensor::from_vec(chosen.features, (rows.len(), self.columns), device)?,
            labels: Tensor::from_vec(chosen.labels, rows.len(), device)?,
        })
    }

    /// The rows from `start` to before `end` on a device.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the range reaches past the last row.
    pub fn batch_range(&self, start: usize, end: usize, device: &candle_core::Device) -> Result<Batch> {
        if start >= end || end > self.rows() {
            return Err(Error::invalid(format!(
                "a batch of the rows {start} to {end} can't be cut from {} rows; use fewer rows per batch or a \
                 larger data set",
                self.rows()
            )));
        }
        let features = &self.features[start * self.columns..end * self.columns];
        Ok(Batch {
            features: Tensor::from_slice(features, (end - start, self.columns), device)?,
            labels: Tensor::from_slice(&self.labels[start..end], end - start, device)?,
        })
    }
}

/// The numbers from 0 to one below `rows` in an order drawn from `seed`.
pub(crate) fn shuffled_rows(rows: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}
