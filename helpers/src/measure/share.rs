//! Intervals of shares and means, beside those of medians in [`Estimate`], and percentiles.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Estimate;

/// How often values are drawn again to find the interval of their mean.
const RESAMPLES: usize = 1_000;
/// The same values always give the same interval.
const SEED: u64 = 0x6d65_616e;
/// Standard deviations from the middle of a 95 % interval to its end.
const SIGMAS_TO_END: f64 = 1.96;

/// The share `hits` / `of` with its 95 % interval by Wilson (1927), which also holds near 0 and 1. None of nothing.
pub(crate) fn share(hits: usize, of: usize) -> Option<Estimate> {
    if of == 0 {
        return None;
    }
    let (n, z2) = (of as f64, SIGMAS_TO_END * SIGMAS_TO_END);
    let p = hits as f64 / n;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = SIGMAS_TO_END * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    Some(Estimate { median: p, low: (middle - half).max(0.0), high: (middle + half).min(1.0), samples: vec![p] })
}

/// The mean of `values`, which must not be empty, with the middle 95 % of the means of as many values drawn from them with
/// replacement (the percentile bootstrap of Efron, 1979). Its only sample is the mean.
pub(crate) fn mean(values: &[f64]) -> Estimate {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| values.iter().map(|_| values[random.random_range(0..values.len())]).sum::<f64>() / count)
        .collect();
    means.sort_by(f64::total_cmp);
    let cut = RESAMPLES / 40;
    Estimate { median: mean, low: means[cut], high: means[RESAMPLES - 1 - cut], samples: vec![mean] }
}

/// The smallest of `values` that at least the share `part` of them does not exceed; NaN of nothing. Sorts them.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (part * values.len() as f64).ceil() as usize;
    values.get(place.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_the_interval_of_wilson() {
        // statsmodels 0.14, proportion_confint(8, 10, method="wilson"): 0.4901625, 0.9433178.
        let found = share(8, 10).map(|share| (share.median, share.low, share.high));
        let (middle, low, high) = found.unwrap_or_default();
        assert!(
            (middle - 0.8).abs() < 1e-12 && (low - 0.49016).abs() < 1e-4 && (high - 0.94332).abs() < 1e-4,
            "{found:?}"
        );
        assert_eq!(share(0, 0), None);
        assert!(share(0, 10).is_some_and(|none| none.low == 0.0 && none.high > 0.2));
    }

    #[test]
    fn a_mean_has_the_interval_of_the_central_limit_theorem() {
        let values: Vec<f64> = (0..2_000).map(|place| f64::from(place % 2)).collect();
        let found = mean(&values);
        let half = 1.96 * 0.5 / 2_000f64.sqrt();
        assert_eq!(found.median, 0.5);
        assert!((found.high - found.low - 2.0 * half).abs() < 0.3 * half, "{found}");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.99), 99.0);
        assert_eq!(percentile(&mut values, 0.0), 1.0);
        assert_eq!(percentile(&mut values, 1.0), 100.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
