//! A number with its uncertainty.

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::display::{Bundle, significant};

/// How often the samples are drawn again to find the interval.
const RESAMPLES: usize = 2_000;

/// The same samples always give the same interval.
const SEED: u64 = 0x6f6e_7261_6d70;

/// The share of the bootstrap medians that lies below the interval, and again above it.
const TAIL: f64 = 0.025;

/// The median of repeated measurements with a 95 % bootstrap interval.
///
/// The interval answers "where could the median be, if we measured again?". It is found by drawing
/// the same number of samples again and again from the samples themselves, with replacement, and
/// keeping the middle 95 % of the medians (the percentile bootstrap of Efron, 1979). Two
/// results differ only when their intervals do not overlap. With fewer than about seven samples the
/// interval is too narrow: repeat more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The middle of the samples, in their unit.
    pub median: f64,
    /// Lower end of the 95 % interval of the median, in the same unit.
    pub low: f64,
    /// Upper end of the 95 % interval of the median, in the same unit.
    pub high: f64,
    /// Every sample, in the order in which it was measured.
    pub samples: Vec<f64>,
}

impl Estimate {
    /// Summarises repeated measurements of one quantity. A single sample gives an interval of width 0.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without any sample, [`Error::InvalidInput`] when a sample is not a finite number.
    pub fn from_samples(samples: Vec<f64>) -> Result<Estimate, Error> {
        if samples.is_empty() {
            return Err(Error::TooFewPoints(
                "there are 0 samples to summarise; measure at least once (7 repeats give a useful interval)".into(),
            ));
        }
        if let Some((place, bad)) = samples.iter().enumerate().find(|(_, sample)| !sample.is_finite()) {
            return Err(Error::InvalidInput(format!(
                "sample {} of {} is {bad}, which is not a finite number; look at the measurement that produced it",
                place + 1,
                samples.len()
            )));
        }
        let medians = bootstrap(&[&samples], |drawn| median(&mut drawn[0]));
        Ok(Estimate { median: median(&mut samples.clone()), ..Estimate::between(medians, samples) })
    }

    /// A number that is known exactly: one sample, interval of width 0.
    pub fn exact(value: f64) -> Estimate {
        Estimate { median: value, low: value, high: value, samples: vec![value] }
    }

    /// The same measurement in another unit or form, for example seconds as rows per second:
    /// `time.map(|seconds| rows / seconds)`. The function must only ever rise or only ever fall; where
    /// it falls, the ends of the interval change places.
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Estimate {
        let (one, other) = (change(self.low), change(self.high));
        Estimate {
            median: change(self.median),
            low: one.min(other),
            high: one.max(other),
            samples: self.samples.iter().map(|&sample| change(sample)).collect(),
        }
    }

    /// How many times larger this is than `other`.
    ///
    /// Two estimates with the same number of samples are taken as measured in turn ([`crate::measure::interleaved`]):
    /// sample i is divided by sample i, so that a slow moment of the machine, which hits both, cancels out,
    /// and the result is the median of these ratios. Otherwise each side is drawn again on its own and
    /// the medians are divided. A zero in `other` gives an infinite ratio, as division does.
    pub fn ratio(&self, other: &Estimate) -> Estimate {
        if self.samples.len() == other.samples.len() {
            let ratios: Vec<f64> = self.samples.iter().zip(&other.samples).map(|(own, its)| own / its).collect();
            let medians = bootstrap(&[&ratios], |drawn| median(&mut drawn[0]));
            return Estimate { median: median(&mut ratios.clone()), ..Estimate::between(medians, ratios) };
        }
        let quotients = bootstrap(&[&self.samples, &other.samples], |drawn| {
            let own = median(&mut drawn[0]);
            own / median(&mut drawn[1])
        });
        let samples = self.samples.iter().map(|sample| sample / other.median).collect();
        Estimate { median: self.median / other.median, ..Estimate::between(quotients, samples) }
    }

    /// True when `value` lies inside the interval.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// True when the two intervals share at least one value: the two results can't be told apart.
    pub fn overlaps(&self, other: &Estimate) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    /// Shows the number with its interval in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        Bundle::new().text(format!("{self}, from {} samples", self.samples.len())).emit();
    }

    /// The interval that holds the middle 95 % of `medians`; the median itself is filled in by the caller.
    fn between(mut medians: Vec<f64>, samples: Vec<f64>) -> Estimate {
        medians.sort_by(f64::total_cmp);
        let last = medians.len() - 1;
        let cut = (TAIL * medians.len() as f64).floor() as usize;
        Estimate { median: f64::NAN, low: medians[cut.min(last)], high: medians[last - cut.min(last)], samples }
    }
}

/// For example `12.4 (12.1 to 12.9)`; a single sample shows no interval.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", significant(self.median))?;
        if self.low < self.high {
            write!(f, " ({} to {})", significant(self.low), significant(self.high))?;
        }
        Ok(())
    }
}

/// Draws every set of samples again, with replacement, [`RESAMPLES`] times, and applies `summary` to each draw.
fn bootstrap(sets: &[&[f64]], summary: impl Fn(&mut [Vec<f64>]) -> f64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut drawn: Vec<Vec<f64>> = sets.iter().map(|set| set.to_vec()).collect();
    (0..RESAMPLES)
        .map(|_| {
            for (set, draw) in sets.iter().zip(&mut drawn) {
                draw.iter_mut().for_each(|value| *value = set[random.random_range(0..set.len())]);
            }
            summary(&mut drawn)
        })
        .collect()
}

/// The middle value; the mean of the two middle values when their number is even. Reorders `values`.
fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    if even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (lower + upper) / 2.0
    } else {
        upper
    }
}
