//! A distribution of durations, small enough to keep and exact enough to ask for any percentile later.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::display::chosen;
use crate::error::{Error, Result};

/// Digits that a recorded duration keeps.
const DIGITS: u8 = 3;
/// Longer ones count as this: a day.
const LONGEST_NANOSECONDS: u64 = 86_400_000_000_000;

/// How often each duration occurred, to three significant digits (an `hdrhistogram`), and the longest one.
///
/// ```
/// use onramp::measure::Latencies;
///
/// let latencies = Latencies::of((1..=1000).map(|milliseconds| 1e-3 * f64::from(milliseconds)))?;
/// assert!((latencies.percentile(99.0)? / 0.990 - 1.0).abs() < 1e-3);
/// assert!((latencies.mean()? / 0.5005 - 1.0).abs() < 1e-3);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// Nanoseconds, rising, with how many were that long.
    counts: Vec<(u64, u64)>,
    longest_nanoseconds: u64,
}

impl Latencies {
    /// The distribution of these seconds; negative ones count as 0.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when one of them is not a number.
    pub fn of(seconds: impl IntoIterator<Item = f64>) -> Result<Self> {
        let mut recorder = LatencyRecorder::new()?;
        for second in seconds {
            if second.is_nan() {
                return Err(Error::invalid("one of the durations is not a number; look at what measured it"));
            }
            recorder.record_seconds(second);
        }
        Ok(recorder.latencies())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The seconds within which `percent` of all were over, to three digits; 100 asks for the longest one.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a percentage that is not above 0 and at most 100; [`Error::TooFewPoints`] when fewer
    /// than one duration is expected beyond it, so that it would be the longest one under another name.
    pub fn percentile(&self, percent: f64) -> Result<f64> {
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(Error::invalid(format!(
                "there is no percentile {percent}; ask for one above 0 and at most 100, such as 99"
            )));
        }
        let count = self.count();
        let beyond = (1.0 - percent / 100.0) * count as f64;
        // Rounding must not make 10 of 1,000 a little less than 10.
        if count == 0 || (percent < 100.0 && beyond < 1.0 - 1e-6) {
            return Err(Error::TooFewPoints(format!(
                "the percentile {} needs at least {} durations and there are {}; measure for longer",
                chosen(percent),
                chosen((1.0 / (1.0 - percent.min(99.999) / 100.0) - 1e-6).ceil()),
                chosen(count as f64)
            )));
        }
        if percent == 100.0 {
            return Ok(1e-9 * self.longest_nanoseconds as f64);
        }
        let wanted = (percent / 100.0 * count as f64 - 1e-6).ceil();
        let mut below = 0;
        let place = self.counts.iter().find(|(_, count)| {
            below += count;
            below as f64 >= wanted
        });
        Ok(place.map_or(0.0, |(nanoseconds, _)| 1e-9 * *nanoseconds as f64))
    }

    /// The share of durations that are longer than this, from 0 to 1; 0 without any.
    pub fn share_above(&self, seconds: f64) -> f64 {
        let above = self.counts.iter().filter(|(nanoseconds, _)| 1e-9 * *nanoseconds as f64 > seconds);
        above.map(|(_, count)| *count as f64).sum::<f64>() / self.count().max(1) as f64
    }

    /// The mean in seconds, to three digits.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without any duration.
    pub fn mean(&self) -> Result<f64> {
        if self.is_empty() {
            return Err(Error::TooFewPoints("there are 0 durations to take the mean of; measure for longer".into()));
        }
        let sum: f64 = self.counts.iter().map(|(nanoseconds, count)| *nanoseconds as f64 * *count as f64).sum();
        Ok(1e-9 * sum / self.count() as f64)
    }

    /// Both distributions together.
    pub fn merged(&self, other: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.extend(&other.counts);
        counts.sort_unstable();
        counts.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 += later.1;
            }
            same
        });
        Self { counts, longest_nanoseconds: self.longest_nanoseconds.max(other.longest_nanoseconds) }
    }
}

/// Takes durations, each in a few nanoseconds.
pub(crate) struct LatencyRecorder {
    histogram: Histogram<u64>,
    longest_nanoseconds: u64,
}

impl LatencyRecorder {
    pub(crate) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, DIGITS)
            .map_err(|cause| Error::invalid(format!("durations can't be recorded: {cause}")))?;
        Ok(Self { histogram, longest_nanoseconds: 0 })
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
        self.longest_nanoseconds = self.longest_nanoseconds.max(nanoseconds);
    }

    pub(crate) fn record_seconds(&mut self, seconds: f64) {
        self.record((1e9 * seconds).round() as u64);
    }

    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
        self.longest_nanoseconds = 0;
    }

    /// All that was recorded. A value of the histogram stands for a range; it is told by the range's middle, so that a
    /// mean is not off to one side.
    pub(crate) fn latencies(&self) -> Latencies {
        let counts = self.histogram.iter_recorded().map(|step| {
            let middle = self.histogram.median_equivalent(step.value_iterated_to());
            (middle.min(self.longest_nanoseconds), step.count_at_value())
        });
        Latencies { counts: counts.collect(), longest_nanoseconds: self.longest_nanoseconds }
    }
}
