//! What a step of one worker costs: a fixed part, and arithmetic.
//!
//! ```text
//! s(b) = s0 + F b / C
//! ```
//!
//! s0 is the fixed part, F the floating-point operations for a row, and C the operations per second. Half of
//! a step of p workers is computing when s(b*) = T, T the seconds of the all-reduce, which gives
//! b* = (T - s0) C / F.

use serde::{Deserialize, Serialize};

use super::scaling_run::Baseline;
use crate::error::{Error, Result};
use crate::law::weighted_line;
use crate::measure::Estimate;
use crate::model::Architecture;

/// Fewest row counts that determine a fixed and a growing part and leave something to check them by.
const FEWEST_ROW_COUNTS: usize = 3;

/// The fixed part s0 and the speed C of one worker, fitted to its measured step times.
///
/// Each repeat is fitted on its own, by the relative distances of its step times from the line, so that a step
/// of 1 ms counts as much as one of 100 ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepCost {
    /// s0, in seconds.
    pub fixed_seconds: Estimate,
    /// C over all row counts, in floating-point operations per second. Small batches keep a core less busy, so
    /// see [`StepCost::flops_per_second_near`].
    pub flops_per_second: Estimate,
    flops_per_row: f64,
    rows: Vec<usize>,
    /// For each row count the step time in each repeat, in seconds.
    step_seconds: Vec<Vec<f64>>,
}

impl StepCost {
    /// Fits the step times of one thread.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] for fewer than 3 row counts.
    pub(super) fn fit(model: &impl Architecture, baselines: &[Baseline]) -> Result<Self> {
        if baselines.len() < FEWEST_ROW_COUNTS {
            return Err(Error::TooFewPoints(format!(
                "{} row counts can't tell the fixed part of a step from its arithmetic; run with at least \
                 {FEWEST_ROW_COUNTS}, such as .rows_per_worker([8, 128, 2048])",
                baselines.len()
            )));
        }
        let rows: Vec<usize> = baselines.iter().map(|baseline| baseline.rows).collect();
        let step_seconds: Vec<Vec<f64>> =
            baselines.iter().map(|baseline| baseline.one_thread.samples.clone()).collect();
        let repeats = step_seconds.iter().map(Vec::len).min().unwrap_or(0);
        let lines: Vec<(f64, f64)> = (0..repeats)
            .map(|repeat| {
                let points: Vec<(f64, f64)> =
                    rows.iter().zip(&step_seconds).map(|(rows, steps)| (*rows as f64, steps[repeat])).collect();
                step_line(&points)
            })
            .collect();
        let flops_per_row = model.flops_per_row();
        Ok(Self {
            fixed_seconds: Estimate::from_samples(lines.iter().map(|(fixed, _)| *fixed).collect())?,
            flops_per_second: Estimate::from_samples(lines.iter().map(|(_, slope)| flops_per_row / slope).collect())?,
            flops_per_row,
            rows,
            step_seconds,
        })
    }

    /// C at the measured row count that is nearest to `rows`: F b / (s(b) - s0), in operations per second.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when steps of that many rows are no longer than the fixed part.
    pub fn flops_per_second_near(&self, rows: f64) -> Result<Estimate> {
        let (nearest, steps) = self.nearest(rows);
        let rates: Vec<f64> = steps
            .iter()
            .zip(&self.fixed_seconds.samples)
            .map(|(step, fixed)| self.flops_per_row * nearest / (step - fixed))
            .filter(|rate| rate.is_finite() && *rate > 0.0)
            .collect();
        if rates.len() < steps.len() {
            return Err(Error::invalid(format!(
                "steps of {nearest} rows are no longer than the fixed part of a step, {}; measure more rows per worker",
                self.fixed_seconds
            )));
        }
        Estimate::from_samples(rates)
    }

    /// b* = (T - s0) C / F with T = `communication_seconds` and C measured near b*; 0 when the fixed part alone
    /// is longer than the all-reduce.
    ///
    /// # Errors
    /// As for [`StepCost::flops_per_second_near`].
    pub fn half_efficiency_rows(&self, communication_seconds: f64) -> Result<Estimate> {
        let waiting = |fixed: f64| (communication_seconds - fixed).max(0.0);
        let rough = waiting(self.fixed_seconds.median) * self.flops_per_second.median / self.flops_per_row;
        let rate = self.flops_per_second_near(rough)?;
        let samples = rate
            .samples
            .iter()
            .zip(&self.fixed_seconds.samples)
            .map(|(rate, fixed)| waiting(*fixed) * rate / self.flops_per_row)
            .collect();
        Estimate::from_samples(samples)
    }

    /// The measured row count that differs from `rows` by the smallest factor, and its step times.
    fn nearest(&self, rows: f64) -> (f64, &[f64]) {
        let distance = |candidate: usize| (candidate as f64 / rows.max(1.0)).ln().abs();
        let best = (0..self.rows.len()).min_by(|a, b| distance(self.rows[*a]).total_cmp(&distance(self.rows[*b])));
        best.map_or((rows, &[]), |index| (self.rows[index] as f64, &self.step_seconds[index]))
    }
}

/// Intercept and slope of the line with the smallest relative distances from the points (rows, seconds). A step can't
/// have a negative fixed part: where the line says so, it goes through 0.
fn step_line(points: &[(f64, f64)]) -> (f64, f64) {
    let (intercept, slope) = weighted_line(points.iter().copied());
    if intercept >= 0.0 && slope > 0.0 {
        return (intercept, slope);
    }
    let (ratio, ratio_squared) = points.iter().fold((0.0, 0.0), |(sum, squares), (rows, seconds)| {
        let ratio = rows / seconds;
        (sum + ratio, squares + ratio * ratio)
    });
    (0.0, ratio / ratio_squared)
}

#[cfg(test)]
mod tests {
    use super::step_line;

    #[test]
    fn a_line_is_found_again() {
        let points: Vec<(f64, f64)> = [8.0, 32.0, 128.0, 512.0].iter().map(|x| (*x, 4e-4 + 2e-5 * x)).collect();
        let (intercept, slope) = step_line(&points);
        assert!((intercept / 4e-4 - 1.0).abs() < 1e-9);
        assert!((slope / 2e-5 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_fixed_part_below_zero_becomes_a_line_through_the_origin() {
        let points = [(8.0, 1e-4), (32.0, 5e-4), (128.0, 2.2e-3)];
        let (intercept, slope) = step_line(&points);
        assert_eq!(intercept, 0.0);
        // Minimises the sum of (slope x / y - 1)^2.
        let cost = |slope: f64| points.iter().map(|(x, y)| (slope * x / y - 1.0).powi(2)).sum::<f64>();
        assert!(cost(slope) < cost(1.001 * slope) && cost(slope) < cost(0.999 * slope));
    }

    /// SciPy 1.17, as in the tests of the law: `curve_fit(lambda b, s0, c: s0 + c * b, rows, times, sigma=times)`.
    #[test]
    fn distances_are_relative() {
        let points = [(8.0, 0.00057), (32.0, 0.00104), (128.0, 0.0031), (512.0, 0.0107)];
        let (intercept, slope) = step_line(&points);
        assert!((intercept / 4.040_341_53e-4 - 1.0).abs() < 1e-6, "{intercept}");
        assert!((slope / 2.040_651_96e-5 - 1.0).abs() < 1e-6, "{slope}");
    }
}
