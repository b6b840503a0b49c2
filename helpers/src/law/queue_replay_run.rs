//! What a replayed queue did.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::queue::mean_and_variation;
use super::{Little, Queue, QueueReplay};
use crate::display::{Table, chosen, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::measure::{Estimate, Latencies, Provenance};

/// Parts of a run whose means are the samples of an estimate: long enough to be nearly independent of each other.
const PARTS: usize = 20;
/// Moments at which the requests in the system are counted.
const LOOKS: usize = 10_000;
/// Of them those that a figure shows.
const SHOWN: usize = 200;

/// The result of [`QueueReplay::run`]. All times are replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueReplayRun {
    /// What was replayed.
    pub replay: QueueReplay,
    /// Requests that count and came.
    pub came: u64,
    /// Of them those that found the line full.
    pub shed: u64,
    /// Virtual seconds from the first to the last of them.
    pub seconds: f64,
    /// Seconds in line and in service of those that were served.
    pub sojourn: Latencies,
    /// The mean wait in line: of all (as the median), with a 95 % interval from the means of twenty parts of the run, which
    /// are the samples.
    pub mean_wait_seconds: Estimate,
    /// The mean time in line and in service, likewise.
    pub mean_sojourn_seconds: Estimate,
    /// Mean seconds of a batch.
    pub batch_seconds: f64,
    /// The squared coefficient of variation of these seconds.
    pub batch_variation: f64,
    /// Mean requests in a batch.
    pub batch_size: f64,
    /// The mean share of the servers that worked.
    pub busy: f64,
    /// Mean number of requests in line and in service, counted at regular moments.
    pub in_system: f64,
    /// How many were there at 200 regular moments: seconds from the first request that counts, and requests.
    pub backlog: Vec<(f64, f64)>,
}

impl QueueReplayRun {
    /// The seconds within which `percent` of the served requests were over.
    ///
    /// # Errors
    /// As [`Latencies::percentile`].
    pub fn percentile(&self, percent: f64) -> Result<f64> {
        self.sojourn.percentile(percent)
    }

    /// Requests per second that came.
    pub fn per_second(&self) -> f64 {
        self.came as f64 / self.seconds
    }

    /// Little's law, with the number in the system counted apart from the times.
    pub fn little(&self) -> Little {
        let per_second = (self.came - self.shed) as f64 / self.seconds;
        Little { per_second, seconds: self.mean_sojourn_seconds.median, in_system: self.in_system }
    }

    /// The formula of Pollaczek and Khinchine for the rate and the service times that were drawn.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for batches, several servers or a bounded line, for which it does not hold.
    pub fn law(&self) -> Result<Queue> {
        if !self.replay.takes_one_at_a_time() {
            return Err(Error::invalid(
                "the formula of Pollaczek and Khinchine holds for one server that takes one request at a time from a line \
                 without bound; leave out servers, batch_cap and queue_bound to compare with it",
            ));
        }
        Queue::m_g_1(self.per_second(), self.batch_seconds, self.batch_variation)
    }

    /// By how many requests the number in the system grew in a second: the slope of the straight line through the backlog.
    pub fn backlog_per_second(&self) -> f64 {
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / self.backlog.len() as f64;
        let time = mean(&mut self.backlog.iter().map(|(seconds, _)| *seconds));
        let together = mean(&mut self.backlog.iter().map(|(seconds, number)| (seconds - time) * number));
        let spread = mean(&mut self.backlog.iter().map(|(seconds, _)| (seconds - time).powi(2)));
        together / spread
    }

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let milliseconds = |seconds: f64| significant(1e3 * seconds);
        let mut table = Table::new("A replayed queue", ["what", "value"])
            .row(["requests".to_string(), chosen(self.came as f64)])
            .row(["requests/s".to_string(), significant(self.per_second())])
            .row(["shed, %".to_string(), significant(100.0 * self.shed as f64 / self.came as f64)])
            .row(["servers busy, %".to_string(), significant(100.0 * self.busy)])
            .row(["requests in a batch".to_string(), significant(self.batch_size)])
            .row(["mean wait in line, ms".to_string(), self.mean_wait_seconds.map(|seconds| 1e3 * seconds).to_string()])
            .row(["mean time in the system, ms".to_string(), self.mean_sojourn_seconds.map(|s| 1e3 * s).to_string()]);
        for percent in [50.0, 90.0, 99.0, 99.9] {
            if let Ok(seconds) = self.percentile(percent) {
                table = table.row([format!("p{percent}, ms"), milliseconds(seconds)]);
            }
        }
        table.row(["mean number in the system".to_string(), significant(self.in_system)]).note(format!(
            "{} {}: {}.",
            Provenance::Replayed.sign(),
            Provenance::Replayed,
            Provenance::Replayed.meaning()
        ))
    }

    /// The number of requests in the system over time.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was counted.
    pub fn figure(&self) -> Result<Figure> {
        let (seconds, numbers): (Vec<f64>, Vec<f64>) = self.backlog.iter().copied().unzip();
        Figure::new("Requests in line and in service")
            .x_label("seconds")
            .y_label("requests in the system")
            .line("replayed", &seconds, &numbers)
    }

    /// Shows the table and the figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}

/// What is written down while the clock moves.
#[derive(Default)]
pub(super) struct Observed {
    pub(super) shed: u64,
    came: u64,
    /// When the first and the last request that counts came.
    begun: f64,
    last: f64,
    served: Vec<Served>,
    /// When each batch began, and its seconds.
    batches: Vec<(f64, f64)>,
    in_batches: usize,
}

struct Served {
    since: f64,
    starts: f64,
    ends: f64,
    counts: bool,
}

impl Observed {
    /// The first request that counts comes now.
    pub(super) fn begin(&mut self, now: f64) {
        self.begun = now;
        self.batches.clear();
        self.in_batches = 0;
        self.served.clear();
    }

    pub(super) fn came(&mut self, now: f64) {
        self.came += 1;
        self.last = now;
    }

    pub(super) fn served(&mut self, since: f64, starts: f64, ends: f64, counts: bool) {
        self.served.push(Served { since, starts, ends, counts });
    }

    pub(super) fn batch(&mut self, starts: f64, took: f64, size: usize) {
        self.batches.push((starts, took));
        self.in_batches += size;
    }

    pub(super) fn summed_up(self, replay: &QueueReplay) -> Result<QueueReplayRun> {
        let seconds = self.last - self.begun;
        let counted: Vec<&Served> = self.served.iter().filter(|request| request.counts).collect();
        if counted.len() < PARTS || seconds <= 0.0 {
            return Err(Error::TooFewPoints(format!(
                "{} of {} requests were served within {seconds} s, too few to say how long they took; replay more, or \
                 widen the bound of the line",
                counted.len(),
                self.came
            )));
        }
        let means = |value: &dyn Fn(&Served) -> f64| -> Result<Estimate> {
            let parts = (0..PARTS).map(|part| {
                let part = &counted[counted.len() * part / PARTS..counted.len() * (part + 1) / PARTS];
                part.iter().map(|request| value(request)).sum::<f64>() / part.len() as f64
            });
            let all = counted.iter().map(|request| value(request)).sum::<f64>() / counted.len() as f64;
            mean_of_parts(all, parts.collect())
        };
        let worked: f64 =
            self.batches.iter().map(|(starts, took)| (starts + took).min(self.last) - starts.min(self.last)).sum();
        let (batch_seconds, batch_variation) = mean_and_variation(self.batches.iter().map(|(_, took)| *took));
        let numbers = self.numbers_in_system();
        let backlog = numbers.iter().enumerate().step_by(LOOKS / SHOWN);
        Ok(QueueReplayRun {
            replay: replay.clone(),
            came: self.came,
            shed: self.shed,
            seconds,
            sojourn: Latencies::of(counted.iter().map(|request| request.ends - request.since))?,
            mean_wait_seconds: means(&|request| request.starts - request.since)?,
            mean_sojourn_seconds: means(&|request| request.ends - request.since)?,
            batch_seconds,
            batch_variation,
            batch_size: self.in_batches as f64 / self.batches.len() as f64,
            busy: worked / seconds / replay.server_count() as f64,
            in_system: numbers.iter().sum::<f64>() / LOOKS as f64,
            backlog: backlog.map(|(look, number)| ((look as f64 + 0.5) * seconds / LOOKS as f64, *number)).collect(),
        })
    }

    /// Requests in the system at each of the looks: a request is seen by those from its arrival to its end.
    fn numbers_in_system(&self) -> Vec<f64> {
        let step = (self.last - self.begun) / LOOKS as f64;
        let look_after = |moment: f64| (((moment - self.begun) / step + 0.5).floor().max(0.0) as usize).min(LOOKS);
        let mut changes = vec![0.0; LOOKS + 1];
        for request in &self.served {
            changes[look_after(request.since)] += 1.0;
            changes[look_after(request.ends)] -= 1.0;
        }
        let mut number = 0.0;
        changes[..LOOKS]
            .iter()
            .map(|change| {
                number += change;
                number
            })
            .collect()
    }
}

/// A mean with the 95 % interval that Student's distribution gives for the means of its parts.
fn mean_of_parts(mean: f64, parts: Vec<f64>) -> Result<Estimate> {
    let count = parts.len() as f64;
    let variance = parts.iter().map(|part| (part - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let student =
        StudentsT::new(0.0, 1.0, count - 1.0).map_err(|cause| Error::invalid(format!("{count} parts: {cause}")))?;
    let half = student.inverse_cdf(0.975) * (variance / count).sqrt();
    Ok(Estimate { median: mean, low: (mean - half).max(0.0), high: mean + half, samples: parts })
}
