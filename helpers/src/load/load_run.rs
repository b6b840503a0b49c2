//! What a load found out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Load;
use super::answers::{AnswerClass, Failure, RetryAfter};
use crate::display::significant;
use crate::error::{Error, Result};
use crate::law::Little;
use crate::measure::{Latencies, Provenance};

/// Requests may be sent so late by the generator's own fault, in seconds: what the timer of an ordinary system that does
/// other things, too, may be late.
const LATE_SECONDS: f64 = 1e-3;
/// And so much later, as a share of the latency, which contains it. Lateness and latency are compared at the same
/// percentiles: so those of the latency are overstated by about a tenth and a millisecond at most.
const LATE_SHARE: f64 = 0.1;
/// These; of fewer requests than a percentile needs, the latest and the longest.
const COMPARED_PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];
/// A thread that has something to do for more of the time than this has requests and answers that wait for it.
const MOST_BUSY: f64 = 0.95;
/// Requests that may be given up, as a share.
const MOST_GIVEN_UP: f64 = 0.01;

/// One second of a load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// How long it was: the last one may be shorter.
    pub seconds: f64,
    /// Answers that came in it, per second.
    pub answered_per_second: f64,
    /// Of them those with a status of 2xx.
    pub goodput_per_second: f64,
    /// The p99 of these, in seconds; none with fewer than a hundred, and when the generator could not keep up.
    pub p99_seconds: Option<f64>,
    /// Mean number of requests that were due and not over.
    pub in_flight: f64,
    /// How often that was looked at.
    pub looks: u64,
}

/// The result of [`Load::run`]: of all requests that were due after the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadRun {
    /// What was sent.
    pub load: Load,
    /// Emulated for a service that takes timed waits, otherwise measured.
    pub provenance: Provenance,
    /// Seconds that count: those after the warm-up.
    pub seconds: f64,
    /// Requests that were due in them.
    pub due: u64,
    /// Of them those that were sent, at whatever time.
    pub sent: u64,
    /// Of them those that the generator gave up, because it could not keep up.
    pub given_up: u64,
    /// Of them those that found all connections busy. Their latency contains that wait.
    pub waited_for_connection: u64,
    /// Requests that were sent in that time, per second.
    pub sent_per_second: f64,
    /// Answers for each status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub failures: BTreeMap<Failure, u64>,
    /// Tries beyond the first.
    pub retried: u64,
    /// What refusals said about coming back; none if none did.
    pub retry_after: Option<RetryAfter>,
    /// How late requests were sent by the generator's own fault.
    pub lateness: Latencies,
    /// The share of the time in which the generator's thread had something to do.
    pub busy: f64,
    /// Connections that were in use at the same time, at most.
    pub most_connections: usize,
    /// The seconds, one after the other. They go by when answers came.
    pub series: Vec<Second>,
    /// Why the generator could not keep up, and what to do; none when it could.
    pub not_kept_up: Option<String>,
    pub(super) latencies: BTreeMap<AnswerClass, Latencies>,
}

/// The first percentile at which the lateness is beyond what is allowed, and both.
pub(super) fn late_beyond(
    lateness: &Latencies,
    latencies: &BTreeMap<AnswerClass, Latencies>,
) -> Option<(f64, f64, f64)> {
    let all = latencies.values().fold(Latencies::default(), |all, some| all.merged(some));
    let latencies = latencies.get(&AnswerClass::Success).unwrap_or(&all);
    let at = |of: &Latencies, percent| of.percentile(percent).or_else(|_| of.percentile(100.0)).unwrap_or(0.0);
    COMPARED_PERCENTILES
        .into_iter()
        .map(|percent| (percent, at(lateness, percent), LATE_SECONDS + LATE_SHARE * at(latencies, percent)))
        .find(|(_, late, allowed)| late > allowed)
}

impl LoadRun {
    /// Looks whether the generator kept up; otherwise there are no percentiles.
    pub(super) fn judged(mut self) -> Self {
        let given_up = self.given_up as f64 / self.due as f64;
        let reason = if given_up > MOST_GIVEN_UP {
            format!("{} % of the requests could not be sent", significant(100.0 * given_up))
        } else if let Some((percent, late, allowed)) = late_beyond(&self.lateness, &self.latencies) {
            format!(
                "{} % of the requests were sent {} ms late or more by its own fault ({} ms would do: {} ms and a tenth of the \
                 latency at this percentile)",
                100.0 - percent,
                significant(1e3 * late),
                significant(1e3 * allowed),
                significant(1e3 * LATE_SECONDS)
            )
        } else if self.busy > MOST_BUSY {
            format!("its thread had something to do for {:.1} % of the time", 100.0 * self.busy)
        } else {
            return self;
        };
        self.not_kept_up = Some(format!(
            "The load generator could not keep up: {reason}. So there are no percentiles: they would show the generator, not \
             the service. Use a lower rate, close other programs, or give the generator a core of its own with .on_core(…)"
        ));
        self.series.iter_mut().for_each(|second| second.p99_seconds = None);
        self
    }

    /// True when the generator sent what was due in time, so that the latencies are those of the service.
    pub fn kept_up(&self) -> bool {
        self.not_kept_up.is_none()
    }

    /// The seconds within which `percent` of the successful requests were over, from when they were due; 100 asks for the
    /// longest.
    ///
    /// # Errors
    /// [`Error::Worker`] when the generator could not keep up, with the reason and what to do; otherwise as
    /// [`Latencies::percentile`].
    pub fn percentile(&self, percent: f64) -> Result<f64> {
        self.latencies_of(AnswerClass::Success)?.percentile(percent)
    }

    /// The mean latency of the successful requests in seconds.
    ///
    /// # Errors
    /// As [`LoadRun::percentile`].
    pub fn mean(&self) -> Result<f64> {
        self.latencies_of(AnswerClass::Success)?.mean()
    }

    /// All latencies of the requests with this kind of answer, from when they were due.
    ///
    /// # Errors
    /// [`Error::Worker`] when the generator could not keep up.
    pub fn latencies_of(&self, class: AnswerClass) -> Result<Latencies> {
        match &self.not_kept_up {
            Some(reason) => Err(Error::Worker(reason.clone())),
            None => Ok(self.latencies.get(&class).cloned().unwrap_or_default()),
        }
    }

    /// Requests that were due, per second: the rate that was asked for, but for chance.
    pub fn offered_per_second(&self) -> f64 {
        self.due as f64 / self.seconds
    }

    /// Answers that came, of any status, per second.
    pub fn answered_per_second(&self) -> f64 {
        self.over_time(|second| second.answered_per_second)
    }

    /// Successful answers that came, per second.
    pub fn goodput_per_second(&self) -> f64 {
        self.over_time(|second| second.goodput_per_second)
    }

    /// Requests with an answer of 2xx.
    pub fn succeeded(&self) -> u64 {
        self.answered(|status| AnswerClass::of(status) == AnswerClass::Success)
    }

    /// Requests with this status.
    pub fn with_status(&self, status: u16) -> u64 {
        self.answered(|other| other == status)
    }

    /// Requests without success: any other status, no answer, or not sent.
    pub fn failed(&self) -> u64 {
        self.due - self.succeeded()
    }

    /// Mean number of requests that were due and not over, counted at moments of its own.
    pub fn in_flight(&self) -> f64 {
        let looks: u64 = self.series.iter().map(|second| second.looks).sum();
        self.series.iter().map(|second| second.in_flight * second.looks as f64).sum::<f64>() / looks.max(1) as f64
    }

    /// Little's law: requests due in a second, how long each was in the system, and how many were in it.
    pub fn little(&self) -> Little {
        let all = self.latencies.values().fold(Latencies::default(), |all, some| all.merged(some));
        Little {
            per_second: all.count() as f64 / self.seconds,
            seconds: all.mean().unwrap_or(0.0),
            in_system: self.in_flight(),
        }
    }

    fn answered(&self, which: impl Fn(u16) -> bool) -> u64 {
        self.answers.iter().filter(|(status, _)| which(**status)).map(|(_, count)| count).sum()
    }

    fn over_time(&self, value: impl Fn(&Second) -> f64) -> f64 {
        self.series.iter().map(|second| value(second) * second.seconds).sum::<f64>() / self.seconds
    }
}
