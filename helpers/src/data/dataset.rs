//! Rows of numbers with one or several labels each, and how they are split and put into batches.

use candle_core::Tensor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// A set in memory to learn classes from: rows with one label each, or sequences with one for each token.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    name: String,
    columns: usize,
    classes: usize,
    labels_per_row: usize,
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
    /// Shape (rows x labels per row), class numbers.
    pub labels: Tensor,
}

impl Batch {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.features.dims().first().copied().unwrap_or(0)
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
        Ok(Self { name: name.to_string(), columns, classes, labels_per_row: 1, features, labels })
    }

    /// A set of texts, to learn the next token from: each of `sequences` has `context` + 1 tokens below `vocabulary`. A
    /// row is the first `context` of them, as numbers that a 32-bit float holds exactly; its labels are the tokens
    /// that follow each of these.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there are no sequences, one has another length, or a token is not below
    /// `vocabulary`.
    pub fn of_sequences(name: &str, context: usize, vocabulary: usize, sequences: &[Vec<u32>]) -> Result<Self> {
        if sequences.is_empty() || context == 0 {
            return Err(Error::invalid(format!(
                "the data set '{name}' has {} sequences and a context of {context} tokens; it needs at least one of \
                 each",
                sequences.len()
            )));
        }
        let wrong = sequences.iter().enumerate().find(|(_, sequence)| sequence.len() != context + 1);
        if let Some((row, sequence)) = wrong {
            return Err(Error::invalid(format!(
                "sequence {row} of the data set '{name}' has {} tokens; with a context of {context} each has {}, \
                 because the last one is only predicted",
                sequence.len(),
                context + 1
            )));
        }
        if let Some(token) = sequences.iter().flatten().find(|token| **token as usize >= vocabulary) {
            return Err(Error::invalid(format!(
                "the data set '{name}' has the token {token}, but its {vocabulary} tokens are numbered from 0 to {}",
                vocabulary.saturating_sub(1)
            )));
        }
        Ok(Self {
            name: name.to_string(),
            columns: context,
            classes: vocabulary,
            labels_per_row: context,
            features: sequences.iter().flat_map(|tokens| &tokens[..context]).map(|token| *token as f32).collect(),
            labels: sequences.iter().flat_map(|tokens| &tokens[1..]).copied().collect(),
        })
    }

    /// What the set is called in tables and figures.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len() / self.labels_per_row
    }

    /// Numbers in each row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of classes; labels run from 0 to one below it.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Labels of each row: 1, or one for each token of a sequence.
    pub fn labels_per_row(&self) -> usize {
        self.labels_per_row
    }

    /// The labels of the first row, then those of the second, and so on.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The labels of one row.
    fn labels_of(&self, row: usize) -> &[u32] {
        &self.labels[row * self.labels_per_row..(row + 1) * self.labels_per_row]
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
        let labels = rows.iter().flat_map(|&row| self.labels_of(row)).copied().collect();
        Self { name: self.name.clone(), features, labels, ..*self }
    }

    /// All rows in an order drawn from `seed`.
    pub fn shuffled(&self, seed: u64) -> Self {
        self.select(&shuffled_rows(self.rows(), seed))
    }

    /// All rows in the order of their classes (their first labels), as files often come.
    pub fn sorted_by_class(&self) -> Self {
        let mut rows: Vec<usize> = (0..self.rows()).collect();
        rows.sort_by_key(|&row| self.labels_of(row)[0]);
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
            labels: Tensor::from_vec(chosen.labels, rows.len() * self.labels_per_row, device)?,
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
        let labels = &self.labels[start * self.labels_per_row..end * self.labels_per_row];
        Ok(Batch {
            features: Tensor::from_slice(features, (end - start, self.columns), device)?,
            labels: Tensor::from_slice(labels, labels.len(), device)?,
        })
    }
}

/// The numbers from 0 to one below `rows` in an order drawn from `seed`.
pub(crate) fn shuffled_rows(rows: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}
