//! The highest rate that a service takes.

use serde::{Deserialize, Serialize};

use super::Load;
use super::capacity_run::{CapacityRun, Trial, TrialEnd};
use crate::display::{Progress, significant};
use crate::error::{Error, Result};

/// A p99 from fewer requests says little; trials at low rates take longer instead.
const LEAST_REQUESTS: f64 = 1_000.0;
/// But no longer than this.
const LONGEST_TRIAL_SECONDS: f64 = 30.0;
/// How often the first rate is halved before the search ends without one.
const HALVINGS: usize = 6;
/// How often it is doubled.
const DOUBLINGS: usize = 16;

/// Searches the highest rate of an open-loop load at which the p99 stays under ten times the service time and every request
/// succeeds.
///
/// A trial at one rate passes when its p99 is below the bound, all requests are answered with 2xx, and the generator kept
/// up. A rate passes when two of at most three trials do. From the first rate on (half of what one request after the other
/// gives) the rate is doubled while it passes, or halved until it does; then the gap between the highest rate that passed
/// and the lowest that did not is halved on a logarithmic scale until it is no wider than the resolution, 5 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    load: Load,
    service_seconds: f64,
    times: f64,
    seconds: f64,
    first_per_second: Option<f64>,
    resolution: f64,
}

impl Capacity {
    /// The capacity of the service that `load` goes to, whose own rate and seconds do not matter. `service_seconds` is
    /// how long the service takes for a request when nothing else is going on.
    pub fn new(load: Load, service_seconds: f64) -> Self {
        Self { load, service_seconds, times: 10.0, seconds: 2.0, first_per_second: None, resolution: 0.05 }
    }

    /// The p99 may be so many service times.
    pub fn times(mut self, times: f64) -> Self {
        self.times = times;
        self
    }

    /// Seconds of each trial, after a quarter as many that do not count. Trials with fewer than 1,000 requests take longer,
    /// up to 30 s.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// The first rate that is tried.
    pub fn first_rate(mut self, per_second: f64) -> Self {
        self.first_per_second = Some(per_second);
        self
    }

    /// The gap at which the search ends, as a share of the rate.
    pub fn resolution(mut self, share: f64) -> Self {
        self.resolution = share;
        self
    }

    /// The p99 that is allowed, in seconds.
    pub fn allowed_seconds(&self) -> f64 {
        self.times * self.service_seconds
    }

    /// Searches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense; [`Error::Worker`] when no rate passes, with what was wrong at
    /// the lowest at which the generator kept up; and whatever [`Load::run`] returns.
    pub fn run(&self) -> Result<CapacityRun> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let first = self.first_per_second.unwrap_or(0.5 / self.service_seconds);
        if ![self.service_seconds, self.times, self.seconds, self.resolution, first].into_iter().all(positive) {
            return Err(Error::invalid(format!(
                "a capacity can't be searched with a service time of {} s, a bound of {} times that, {} s a trial, a first \
                 rate of {first} requests/s and a resolution of {}; all must be above 0",
                self.service_seconds, self.times, self.seconds, self.resolution
            )));
        }
        let mut search = Search {
            capacity: self,
            trials: Vec::new(),
            progress: Progress::new("searching the capacity, trial", None),
        };
        let (mut passed, mut failed) = (None, None);
        let mut rate = first;
        for _ in 0..DOUBLINGS.max(HALVINGS) {
            if search.passes(rate)? {
                passed = Some(rate);
                if failed.is_some() {
                    break;
                }
                rate *= 2.0;
            } else {
                failed = Some(rate);
                if passed.is_some() || rate < 0.75 * first / 2_f64.powi(HALVINGS as i32 - 1) {
                    break;
                }
                rate /= 2.0;
            }
        }
        let Some(mut passed) = passed else {
            let ends: Vec<_> = search.trials.iter().map(|trial| (trial.per_second, trial.end)).collect();
            return Err(Error::Worker(self.why_there_is_none(&ends)));
        };
        while let Some(above) = failed.filter(|failed| failed / passed > 1.0 + self.resolution) {
            let middle = (above * passed).sqrt();
            if search.passes(middle)? { passed = middle } else { failed = Some(middle) }
        }
        Ok(CapacityRun {
            capacity: self.clone(),
            per_second: passed,
            first_failed_per_second: failed,
            trials: search.trials,
        })
    }

    /// Why no rate passed, by the rates and ends of all trials.
    fn why_there_is_none(&self, ends: &[(f64, TrialEnd)]) -> String {
        // The lowest rate at which something is known about the service.
        match ends.iter().rev().find(|(_, end)| *end != TrialEnd::GeneratorTooSlow) {
            Some((per_second, end)) => format!(
                "the service has no capacity by this rule: even at {} requests/s {end}. Check the service time of {} ms, or \
                 allow a higher p99 with .times(…)",
                significant(*per_second),
                significant(1e3 * self.service_seconds)
            ),
            None => format!(
                "nothing is known about the service: even at {} requests/s the load generator could not keep up. Close other \
                 programs, give the generator a core of its own with .on_core(…), or begin lower with .first_rate(…)",
                significant(ends.last().map_or(f64::NAN, |(per_second, _)| *per_second))
            ),
        }
    }

    /// One trial at this rate; each has a seed of its own.
    fn attempt(&self, per_second: f64, number: usize) -> Result<Trial> {
        let seconds = self.seconds.max((LEAST_REQUESTS / per_second).min(LONGEST_TRIAL_SECONDS));
        let load = self.load.clone().rate(per_second).seconds(seconds).warm_up_seconds(seconds / 4.0);
        let run = load.seed(number as u64).run()?;
        let end = if !run.kept_up() {
            TrialEnd::GeneratorTooSlow
        } else if run.failed() > 0 {
            TrialEnd::Failures(run.failed())
        } else {
            let p99 = run.percentile(99.0)?;
            if p99 < self.allowed_seconds() { TrialEnd::Passed(p99) } else { TrialEnd::TooSlow(p99) }
        };
        Ok(Trial { per_second, end, run })
    }
}

struct Search<'a> {
    capacity: &'a Capacity,
    trials: Vec<Trial>,
    progress: Progress,
}

impl Search<'_> {
    /// Two of three trials decide.
    fn passes(&mut self, per_second: f64) -> Result<bool> {
        let mut passed = 0;
        for done in 0..3 {
            if passed == 2 || done - passed == 2 {
                break;
            }
            let trial = self.capacity.attempt(per_second, self.trials.len())?;
            passed += usize::from(matches!(trial.end, TrialEnd::Passed(_)));
            self.progress.note(format!("{} requests/s: {}", significant(per_second), trial.end));
            self.progress.advance(1);
            self.trials.push(trial);
        }
        Ok(passed == 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_is_too_slow_says_nothing_about_the_service() {
        let capacity = Capacity::new(Load::new("127.0.0.1:8080"), 0.001);
        let generator = TrialEnd::GeneratorTooSlow;
        let text = capacity.why_there_is_none(&[(8_000.0, generator), (4_000.0, generator)]);
        assert!(
            text.contains("nothing is known") && text.contains("generator") && text.contains("4,000 requests/s"),
            "{text}"
        );
        let text = capacity.why_there_is_none(&[(8_000.0, TrialEnd::Failures(3)), (4_000.0, generator)]);
        assert!(text.contains("even at 8,000 requests/s 3 requests failed"), "{text}");
    }
}
