//! When a second copy of a call is sent.
//!
//! A call that takes longer than most others is probably stuck, and a second copy of it will probably not be: the first answer
//! counts, the other call is cancelled (Dean and Barroso 2013, "The Tail at Scale"). A budget keeps the copies from becoming
//! a second load when everything is slow.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Copies that are free, so that the first calls can be hedged, too.
const FREE_COPIES: f64 = 10.0;
/// Fewer calls have no percentile yet.
const FEWEST_CALLS: u64 = 20;
/// What a histogram can hold: a minute in microseconds, with 2 digits.
const LONGEST_MICROSECONDS: u64 = 60_000_000;
const DIGITS: u8 = 2;

/// A description of when to send a second copy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hedge {
    delay: Delay,
    budget: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Delay {
    Seconds(f64),
    Percentile(f64),
}

impl fmt::Display for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.delay {
            Delay::Seconds(seconds) => write!(f, "second copies after {} ms", 1e3 * seconds)?,
            Delay::Percentile(share) => write!(f, "second copies at the {}th percentile", 100.0 * share)?,
        }
        write!(f, ", at most {} % of the calls", 100.0 * self.budget)
    }
}

/// The hedge at work: what calls took so far, and how many copies there were.
#[derive(Debug)]
pub(super) struct Hedging {
    hedge: Hedge,
    calls: f64,
    copies: f64,
    microseconds: Histogram<u64>,
}

impl Hedge {
    /// So many seconds after the first copy.
    pub fn after(seconds: f64) -> Self {
        Self { delay: Delay::Seconds(seconds), budget: 0.25 }
    }

    /// When a call takes longer than this share of the calls so far: 0.95 waits for the 95th percentile, and then one of twenty
    /// calls is sent twice. The first 20 calls are not hedged.
    pub fn at_percentile(share: f64) -> Self {
        Self { delay: Delay::Percentile(share), budget: 0.25 }
    }

    /// Copies at most, as a share of the calls; ten more are free. A quarter without this.
    pub fn budget(mut self, share: f64) -> Self {
        self.budget = share;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let sensible = match self.delay {
            Delay::Seconds(seconds) => (0.0..=60.0).contains(&seconds),
            Delay::Percentile(share) => share > 0.0 && share < 1.0,
        };
        if sensible && (0.0..=1.0).contains(&self.budget) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a hedge after {:?} with a budget of {} makes no sense; use 0 to 60 s or a percentile between 0 and 1, such as \
             0.95, and a budget from 0 to 1",
            self.delay, self.budget
        )))
    }

    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense.
    pub(super) fn start(&self) -> Result<Hedging> {
        self.validate()?;
        let microseconds = Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, DIGITS)
            .map_err(|cause| Error::invalid(format!("no histogram up to {LONGEST_MICROSECONDS} us: {cause}")))?;
        Ok(Hedging { hedge: *self, calls: 0.0, copies: 0.0, microseconds })
    }
}

impl Hedging {
    /// Seconds after which a second copy is due; none while that is not known.
    pub(super) fn delay_seconds(&self) -> Option<f64> {
        match self.hedge.delay {
            Delay::Seconds(seconds) => Some(seconds),
            Delay::Percentile(_) if self.microseconds.len() < FEWEST_CALLS => None,
            Delay::Percentile(share) => Some(self.microseconds.value_at_quantile(share) as f64 / 1e6),
        }
    }

    /// Counts a call.
    pub(super) fn begin(&mut self) {
        self.calls += 1.0;
    }

    /// Counts a copy, if the budget has one left.
    pub(super) fn take_copy(&mut self) -> bool {
        let allowed = self.copies + 1.0 <= FREE_COPIES + self.hedge.budget * self.calls;
        if allowed {
            self.copies += 1.0;
        }
        allowed
    }

    /// Takes in how long a call took until its answer.
    pub(super) fn record(&mut self, seconds: f64) {
        self.microseconds.saturating_record((seconds * 1e6).max(1.0) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::Hedge;

    #[test]
    fn the_budget_is_a_share_of_the_calls() {
        let mut hedging = Hedge::after(0.01).budget(0.1).start().unwrap();
        let mut sent = 0;
        for _ in 0..1_000 {
            hedging.begin();
            sent += usize::from(hedging.take_copy());
        }
        assert_eq!(sent, 110);
    }

    #[test]
    fn the_percentile_is_that_of_the_calls_so_far() {
        let mut hedging = Hedge::at_percentile(0.95).start().unwrap();
        for call in 1..=100 {
            assert_eq!(hedging.delay_seconds().is_some(), call > 20);
            hedging.record(f64::from(call) / 1e3);
        }
        let delay = hedging.delay_seconds().unwrap();
        assert!((delay - 0.095).abs() < 0.002, "{delay}");
    }
}
