//! What is written down while a load runs.

use std::collections::BTreeMap;

use super::answers::{AnswerClass, Failure, RetryAfter};
use super::connection::Answer;
use super::load_run::Second;
use crate::error::Result;
use crate::measure::{Latencies, LatencyRecorder};

const SECOND: u64 = 1_000_000_000;

/// All counts of one run. Requests count when they were due in the counted time; the series of seconds goes by when answers
/// came. Moments are nanoseconds from the start of the load.
pub(super) struct Recorder {
    /// The counted time.
    from: u64,
    to: u64,
    pub(super) due: u64,
    pub(super) sent: u64,
    pub(super) sent_in_time: u64,
    pub(super) retried: u64,
    pub(super) waited_for_connection: u64,
    pub(super) answers: BTreeMap<u16, u64>,
    pub(super) failures: BTreeMap<Failure, u64>,
    pub(super) retry_after: Option<RetryAfter>,
    latencies: BTreeMap<AnswerClass, LatencyRecorder>,
    lateness: LatencyRecorder,
    series: Series,
}

/// The seconds of the counted time, one after the other.
struct Series {
    done: Vec<Second>,
    answered: u64,
    succeeded: u64,
    latencies: LatencyRecorder,
    in_flight: u64,
    looks: u64,
}

impl Recorder {
    pub(super) fn new(from: u64, to: u64) -> Result<Self> {
        let latencies = AnswerClass::ALL.into_iter().map(|class| Ok((class, LatencyRecorder::new()?)));
        let series = Series {
            done: Vec::new(),
            answered: 0,
            succeeded: 0,
            latencies: LatencyRecorder::new()?,
            in_flight: 0,
            looks: 0,
        };
        Ok(Self {
            from,
            to,
            due: 0,
            sent: 0,
            sent_in_time: 0,
            retried: 0,
            waited_for_connection: 0,
            answers: BTreeMap::new(),
            failures: BTreeMap::new(),
            retry_after: None,
            latencies: latencies.collect::<Result<_>>()?,
            lateness: LatencyRecorder::new()?,
            series,
        })
    }

    /// True for a request that was due at this moment and counts, and for a moment of the counted time.
    pub(super) fn counts(&self, moment: u64) -> bool {
        (self.from..self.to).contains(&moment)
    }

    /// A request goes out, later than it was due by `own` nanoseconds for reasons of the generator's own.
    pub(super) fn sends(&mut self, due: u64, now: u64, own: u64) {
        self.sent_in_time += u64::from(self.counts(now));
        if self.counts(due) {
            self.sent += 1;
            self.lateness.record(own);
        }
    }

    /// A request has come to its end.
    pub(super) fn ends(&mut self, due: u64, now: u64, end: Result<Answer, Failure>) {
        let succeeded = end.as_ref().is_ok_and(|answer| answer.status.is_success());
        let latency = now - due;
        if self.counts(now) {
            self.series.turn_to((now - self.from) / SECOND, SECOND);
            self.series.answered += u64::from(end.is_ok());
            if succeeded {
                self.series.succeeded += 1;
                self.series.latencies.record(latency);
            }
        }
        if !self.counts(due) {
            return;
        }
        let class = match end {
            Ok(answer) => {
                *self.answers.entry(answer.status.as_u16()).or_default() += 1;
                if let Some(seconds) = answer.retry_after {
                    let seen = self.retry_after.get_or_insert(RetryAfter { answers: 0, least: seconds, most: seconds });
                    seen.answers += 1;
                    (seen.least, seen.most) = (seen.least.min(seconds), seen.most.max(seconds));
                }
                AnswerClass::of(answer.status.as_u16())
            }
            Err(failure) => {
                *self.failures.entry(failure).or_default() += 1;
                AnswerClass::None
            }
        };
        if let Some(recorder) = self.latencies.get_mut(&class) {
            recorder.record(latency);
        }
    }

    /// So many requests were due and not over at a moment that has nothing to do with theirs.
    pub(super) fn looks(&mut self, now: u64, in_flight: u64) {
        if self.counts(now) {
            self.series.turn_to((now - self.from) / SECOND, SECOND);
            self.series.in_flight += in_flight;
            self.series.looks += 1;
        }
    }

    pub(super) fn lateness(&self) -> Latencies {
        self.lateness.latencies()
    }

    pub(super) fn latencies(&self) -> BTreeMap<AnswerClass, Latencies> {
        let all = self.latencies.iter().map(|(class, recorder)| (*class, recorder.latencies()));
        all.filter(|(_, latencies)| !latencies.is_empty()).collect()
    }

    /// The seconds; the last one may be shorter.
    pub(super) fn seconds(&mut self) -> Vec<Second> {
        let whole = (self.to - self.from) / SECOND;
        self.series.turn_to(whole, SECOND);
        let rest = (self.to - self.from) % SECOND;
        if rest > 0 {
            self.series.turn_to(whole + 1, rest);
        }
        std::mem::take(&mut self.series.done)
    }
}

impl Series {
    /// Ends seconds until the one with this number runs; the last one that ends lasted for `nanoseconds`.
    fn turn_to(&mut self, second: u64, nanoseconds: u64) {
        while (self.done.len() as u64) < second {
            let length = 1e-9 * nanoseconds as f64;
            let latencies = self.latencies.latencies();
            self.done.push(Second {
                seconds: length,
                answered_per_second: self.answered as f64 / length,
                goodput_per_second: self.succeeded as f64 / length,
                p99_seconds: latencies.percentile(99.0).ok(),
                in_flight: self.in_flight as f64 / self.looks.max(1) as f64,
                looks: self.looks,
            });
            (self.answered, self.succeeded, self.in_flight, self.looks) = (0, 0, 0, 0);
            self.latencies.clear();
        }
    }
}
