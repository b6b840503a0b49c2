//! The population stability index: how far a feature is from a reference.
//!
//! For each watched feature ten bins are fixed by the deciles of a reference. With p the reference's share of a bin and q the
//! share of a window of requests,
//!
//! ```text
//! PSI = sum over the bins of (q - p) ln(q / p)
//! ```
//!
//! the symmetric divergence of Jeffreys (1946), known in credit scoring by this name, where more than 0.2 to 0.25 counts as
//! a shift (Lewis 1994, "An introduction to credit scoring"). A bin without rows counts as half a row, or its logarithm
//! would be infinite.
//!
//! Chance alone gives more than 0: without any drift, and with n rows in the reference and m in the window, PSI / (1/n + 1/m)
//! is about chi-squared distributed with bins - 1 degrees of freedom, so it is (bins - 1) (1/n + 1/m) on average (Yurdakul
//! and Naranjo 2020, "Statistical properties of the population stability index"). Each further feature is a further chance of
//! a false alarm: watch few.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Bins of a feature with enough different values.
pub const BINS: usize = 10;
/// Rows that a reference has at least: with fewer its own noise comes near to what is looked for.
pub const LEAST_REFERENCE: usize = 3_000;
/// What a bin without rows counts as.
const FLOOR_ROWS: f64 = 0.5;

/// One feature: its bins, and what fell into them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) feature: usize,
    /// Upper ends of all bins but the last; a value equal to one belongs to the bin that it ends.
    edges: Vec<f32>,
    pub(super) reference: Vec<u32>,
    pub(super) window: Vec<u32>,
}

/// How far one feature is from the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FeaturePsi {
    /// The place of the feature in a row, from 0.
    pub feature: usize,
    /// Its population stability index; 0 for equal shares.
    pub psi: f64,
}

impl Watched {
    /// Bins that hold equal shares of these values; fewer than ten where values repeat.
    fn of(feature: usize, mut values: Vec<f32>) -> Result<Self> {
        values.sort_by(f32::total_cmp);
        let rows = values.len();
        let mut edges: Vec<f32> = (1..BINS).map(|bin| values[(bin * rows).div_ceil(BINS) - 1]).collect();
        edges.dedup();
        edges.retain(|edge| *edge < values[rows - 1]);
        if edges.is_empty() {
            return Err(Error::invalid(format!(
                "feature {feature} is {} in nine of ten rows of the reference or more, so its bins show no drift; watch \
                 another one",
                values[rows / 2]
            )));
        }
        let mut watched =
            Self { feature, window: vec![0; edges.len() + 1], reference: vec![0; edges.len() + 1], edges };
        for value in values {
            let place = watched.bin(value);
            watched.reference[place] += 1;
        }
        Ok(watched)
    }

    /// The bin that this value falls into.
    pub(super) fn bin(&self, value: f32) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }

    /// The window's PSI; the next one begins.
    pub(super) fn close(&mut self, reference_rows: usize, window_rows: usize) -> FeaturePsi {
        let share = |count: u32, rows: usize| f64::from(count).max(FLOOR_ROWS) / rows as f64;
        let pairs = self.reference.iter().zip(&self.window);
        let terms = pairs.map(|(reference, window)| {
            let (p, q) = (share(*reference, reference_rows), share(*window, window_rows));
            (q - p) * (q / p).ln()
        });
        let psi = terms.sum();
        self.window.fill(0);
        FeaturePsi { feature: self.feature, psi }
    }
}

/// The bins of each feature, and the rows they were made of.
pub(super) fn bins(
    reference: impl IntoIterator<Item = impl AsRef<[f32]>>,
    features: &[usize],
) -> Result<(Vec<Watched>, usize)> {
    let mut columns = vec![Vec::new(); features.len()];
    for (number, row) in reference.into_iter().enumerate() {
        for (column, &feature) in columns.iter_mut().zip(features) {
            column.push(value(row.as_ref(), feature, number)?);
        }
    }
    let rows = columns.first().map_or(0, Vec::len);
    if rows < LEAST_REFERENCE {
        return Err(Error::invalid(format!(
            "a reference of {rows} rows is too noisy to compare with; give at least {LEAST_REFERENCE}, of those that the \
             model learned from"
        )));
    }
    let watched = features.iter().zip(columns).map(|(&feature, values)| Watched::of(feature, values));
    Ok((watched.collect::<Result<_>>()?, rows))
}

/// One feature of a row.
pub(super) fn value(row: &[f32], feature: usize, number: usize) -> Result<f32> {
    match row.get(feature) {
        Some(value) if value.is_finite() => Ok(*value),
        Some(value) => Err(Error::invalid(format!(
            "feature {feature} of row {number} is {value}; only finite numbers can be compared, so refuse or replace it \
             before"
        ))),
        None => Err(Error::invalid(format!(
            "row {number} has {} features, so there is no feature {feature}; they are numbered from 0",
            row.len()
        ))),
    }
}
