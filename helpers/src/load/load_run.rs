//! What a load found out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Load;
use crate::display::{Table, chosen, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::law::Little;
use crate::measure::{Estimate, Latencies, Provenance};

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

/// What kind of answer a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerClass {
    /// A status of 2xx.
    Success,
    /// A status of 3xx (or 1xx), which nobody follows here.
    Redirection,
    /// A status of 4xx: the service refused, for example with 429 because it had too much to do.
    Refusal,
    /// A status of 5xx: the service could not.
    ServerError,
    /// No answer: a [`Failure`].
    None,
}

impl AnswerClass {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Success, Self::Redirection, Self::Refusal, Self::ServerError, Self::None];

    pub(super) fn of(status: u16) -> Self {
        match status / 100 {
            2 => Self::Success,
            4 => Self::Refusal,
            5.. => Self::ServerError,
            _ => Self::Redirection,
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer did.
    Cut,
    /// What came was not HTTP.
    Garbage,
    /// The answer was not there in time.
    Timeout,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Cut => "connection cut",
            Self::Garbage => "garbage",
            Self::Timeout => "timeout",
        })
    }
}

/// How often a service said when to come back (the header Retry-After).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryAfter {
    /// Answers that said it.
    pub answers: u64,
    /// The fewest seconds among them.
    pub least: u64,
    /// The most seconds among them.
    pub most: u64,
}

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

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let milliseconds = |seconds: f64| significant(1e3 * seconds);
        let sign = self.provenance.sign();
        let mut table = Table::new(format!("A load on {} {sign}", self.load.target_text()), ["what", "value"])
            .row(["offered, requests/s".to_string(), significant(self.offered_per_second())])
            .row(["sent, requests/s".to_string(), significant(self.sent_per_second)])
            .row(["answered, requests/s".to_string(), significant(self.answered_per_second())])
            .row(["goodput, requests/s".to_string(), significant(self.goodput_per_second())]);
        for percent in [50.0, 90.0, 99.0, 99.9, 100.0] {
            if let Ok(seconds) = self.percentile(percent) {
                let name = if percent == 100.0 { "longest, ms".to_string() } else { format!("p{percent}, ms") };
                table = table.row([name, milliseconds(seconds)]);
            }
        }
        if let Ok(mean) = self.mean() {
            table = table.row(["mean, ms".to_string(), milliseconds(mean)]);
        }
        for (status, count) in &self.answers {
            table = table.row([format!("answers {status}"), chosen(*count as f64)]);
        }
        for (failure, count) in &self.failures {
            table = table.row([failure.to_string(), chosen(*count as f64)]);
        }
        table = table
            .row(["in flight, mean".to_string(), significant(self.in_flight())])
            .row(["connections, at most".to_string(), self.most_connections.to_string()]);
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let milliseconds = |seconds: f64| significant(1e3 * seconds);
        let mut notes = Vec::new();
        notes.extend(self.not_kept_up.clone());
        notes.push(format!(
            "{} requests in {} s after {} s that do not count, {}; latency counts from the moment at which a request was due.",
            chosen(self.due as f64),
            chosen(self.seconds),
            chosen(self.load.warm_up()),
            self.provenance
        ));
        let late = |percent| self.lateness.percentile(percent).map_or("unknown".to_string(), milliseconds);
        notes.push(format!(
            "By its own fault the generator sent late by: p50 {} ms, p99 {} ms, at most {} ms. Its thread was busy for {:.0} % \
             of the time.",
            late(50.0),
            late(99.0),
            late(100.0),
            100.0 * self.busy
        ));
        if self.waited_for_connection > 0 {
            notes.push(format!(
                "{} % of the requests found all {} connections busy and waited for one, which their latency contains. With \
                 more connections they would wait in the service.",
                significant(100.0 * self.waited_for_connection as f64 / self.due as f64),
                self.load.connection_limit()
            ));
        }
        if self.retried > 0 {
            notes.push(format!("{} requests were tried again.", chosen(self.retried as f64)));
        }
        if let Some(RetryAfter { answers, least, most }) = self.retry_after {
            notes
                .push(format!("{} answers said when to come back: after {least} to {most} s.", chosen(answers as f64)));
        }
        notes
    }

    /// Latency against how rare it is: p50, p90, p99 and so on, as far as the requests reach.
    ///
    /// # Errors
    /// As [`LoadRun::percentile`].
    pub fn figure(&self) -> Result<Figure> {
        let latencies = self.latencies_of(AnswerClass::Success)?;
        let rare = (1..=24).map(|step| 10_f64.powf(f64::from(step) / 4.0));
        let places: Vec<(f64, f64)> =
            rare.filter_map(|one_in| Some((one_in, latencies.percentile(100.0 - 100.0 / one_in).ok()?))).collect();
        let xs: Vec<f64> = places.iter().map(|(one_in, _)| *one_in).collect();
        let ys: Vec<Estimate> = places.iter().map(|(_, seconds)| Estimate::exact(1e3 * seconds)).collect();
        Figure::new("How rare is a slow answer?")
            .x_label("one request in so many is slower")
            .y_label("latency, ms")
            .log_x()
            .log_y()
            .points("successful requests", self.provenance, &xs, &ys)
    }

    /// Goodput over time.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was counted.
    pub fn goodput_figure(&self) -> Result<Figure> {
        let xs: Vec<f64> = (0..self.series.len()).map(|second| second as f64 + 0.5).collect();
        let ys: Vec<Estimate> = self.series.iter().map(|second| Estimate::exact(second.goodput_per_second)).collect();
        Figure::new("Successful answers over time")
            .x_label("seconds after the warm-up")
            .y_label("successful answers per second")
            .points("goodput", self.provenance, &xs, &ys)
    }

    /// The p99 of each second.
    ///
    /// # Errors
    /// [`Error::Worker`] when the generator could not keep up.
    pub fn p99_figure(&self) -> Result<Figure> {
        self.latencies_of(AnswerClass::Success)?;
        let places = self.series.iter().enumerate();
        let (xs, ys): (Vec<f64>, Vec<Estimate>) = places
            .filter_map(|(place, second)| Some((place as f64 + 0.5, Estimate::exact(1e3 * second.p99_seconds?))))
            .unzip();
        Figure::new("The p99 of each second").x_label("seconds after the warm-up").y_label("p99, ms").points(
            "p99",
            self.provenance,
            &xs,
            &ys,
        )
    }

    /// Shows the table and the figure of latencies below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }

    fn answered(&self, which: impl Fn(u16) -> bool) -> u64 {
        self.answers.iter().filter(|(status, _)| which(**status)).map(|(_, count)| count).sum()
    }

    fn over_time(&self, value: impl Fn(&Second) -> f64) -> f64 {
        self.series.iter().map(|second| value(second) * second.seconds).sum::<f64>() / self.seconds
    }
}
