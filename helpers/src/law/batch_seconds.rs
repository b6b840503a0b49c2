//! How long a service takes for a batch of requests, for replays.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;
use serde::{Deserialize, Serialize};

use super::queue::mean_and_variation;
use crate::error::{Error, Result};

/// Seconds of a batch against its size: a law, or what was measured.
///
/// ```
/// use onramp::law::BatchSeconds;
///
/// // Measured: 22 us for one row, 109 us for 16 rows; what lies between is on a straight line.
/// let seconds = BatchSeconds::table([(1, 22e-6), (16, 109e-6)])?;
/// assert!((seconds.mean(6) - 51e-6).abs() < 1e-9);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSeconds {
    /// Batch sizes, rising, with their mean seconds.
    means: Vec<(usize, f64)>,
    scatter: Scatter,
}

/// How single batches differ from the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scatter {
    None,
    Exponential,
    /// Factors that were measured, of mean 1.
    Factors(Vec<f64>),
}

impl BatchSeconds {
    /// Every batch takes this long, whatever its size.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for seconds that are not finite and above 0.
    pub fn constant(seconds: f64) -> Result<Self> {
        Self::table([(1, seconds)])
    }

    /// Batches take exponential times with this mean, whatever their size.
    ///
    /// # Errors
    /// As [`BatchSeconds::constant`].
    pub fn exponential(mean_seconds: f64) -> Result<Self> {
        Ok(Self { scatter: Scatter::Exponential, ..Self::constant(mean_seconds)? })
    }

    /// Batches of these sizes take so long. Between two sizes the time lies on a straight line, beyond the last on the
    /// line through the last two.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a size, for a size of 0 or that comes twice, and as [`BatchSeconds::constant`].
    pub fn table(sizes: impl IntoIterator<Item = (usize, f64)>) -> Result<Self> {
        let mut means: Vec<(usize, f64)> = sizes.into_iter().collect();
        means.sort_by_key(|(size, _)| *size);
        if let Some((size, seconds)) = means.iter().find(|(_, seconds)| !(seconds.is_finite() && *seconds > 0.0)) {
            return Err(Error::invalid(format!("a batch of {size} can't take {seconds} s; use a number above 0")));
        }
        let rising = means.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if means.first().is_none_or(|(size, _)| *size == 0) || !rising {
            let sizes: Vec<usize> = means.iter().map(|(size, _)| *size).collect();
            return Err(Error::invalid(format!(
                "batches of {sizes:?} can't be told apart; give each size from 1 on once"
            )));
        }
        Ok(Self { means, scatter: Scatter::None })
    }

    /// From measured seconds of each size. A replayed batch takes the mean of its size times how far a measured batch, drawn
    /// at random, was from the mean of its own.
    ///
    /// # Errors
    /// As [`BatchSeconds::table`].
    pub fn measured(sizes: impl IntoIterator<Item = (usize, Vec<f64>)>) -> Result<Self> {
        let sizes: Vec<(usize, Vec<f64>)> = sizes.into_iter().collect();
        let mean = |samples: &[f64]| mean_and_variation(samples.iter().copied()).0;
        let table = Self::table(sizes.iter().map(|(size, samples)| (*size, mean(samples))))?;
        let factors: Vec<f64> = sizes
            .iter()
            .flat_map(|(_, samples)| {
                let mean = mean(samples);
                samples.iter().map(move |sample| sample / mean)
            })
            .collect();
        if let Some(bad) = factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
            return Err(Error::invalid(format!(
                "a measured batch took {bad} times the mean of its size; look at what measured it"
            )));
        }
        Ok(Self { scatter: Scatter::Factors(factors), ..table })
    }

    /// Mean seconds of a batch of this size.
    pub fn mean(&self, size: usize) -> f64 {
        let at = self.means.partition_point(|(known, _)| *known < size);
        let (last, first) = (self.means.len() - 1, self.means[0]);
        if last == 0 || at == 0 {
            return first.1;
        }
        let ((from, low), (to, high)) = (self.means[at.min(last) - 1], self.means[at.min(last)]);
        let seconds = low + (high - low) * (size as f64 - from as f64) / (to - from) as f64;
        // A line that falls beyond the last size must not end below 0.
        if at > last { seconds.max(high) } else { seconds }
    }

    /// Seconds of one batch.
    pub(super) fn draw(&self, size: usize, random: &mut ChaCha8Rng) -> f64 {
        self.mean(size)
            * match &self.scatter {
                Scatter::None => 1.0,
                Scatter::Exponential => random.sample::<f64, _>(Exp1),
                Scatter::Factors(factors) => factors[random.random_range(0..factors.len())],
            }
    }
}
