//! What came of replaying a rule.

use serde::{Deserialize, Serialize};

use super::{HpaDecision, ScalingReplay};
use crate::display::{Table, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::measure::Provenance;

/// One look at the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScalingMoment {
    /// Virtual seconds since the start.
    pub seconds: f64,
    /// Requests per second since the moment before.
    pub requests_per_second: f64,
    /// Replicas that the rule wants from now on.
    pub wanted: usize,
    /// Replicas that were ready when it decided.
    pub ready: usize,
    /// Requests that no replica has taken yet.
    pub waiting: usize,
}

/// One rule with one cold start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingCase {
    /// The rule's name.
    pub rule: String,
    /// Seconds from the order of a replica until it was ready.
    pub cold_start_seconds: f64,
    /// Second by second.
    pub moments: Vec<ScalingMoment>,
    /// The decisions that changed the number of replicas.
    pub decisions: Vec<HpaDecision>,
    /// The area below the number of waiting requests, in request-seconds. By Little's law that is the sum of what all
    /// requests waited.
    pub backlog_request_seconds: f64,
    /// Seconds that a request waited before a replica took it, on average.
    pub mean_wait_seconds: f64,
    /// The area below the number of replicas, starting and stopping ones included: what it cost.
    pub replica_seconds: f64,
}

/// The result of [`ScalingReplay::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingReplayRun {
    /// What was replayed.
    pub replay: ScalingReplay,
    /// Each rule with each cold start, in the order in which they were given.
    pub cases: Vec<ScalingCase>,
}

impl ScalingCase {
    /// How often a change of the number of replicas went back on the change before it: from up to down, or from down to up.
    pub fn flaps(&self) -> usize {
        let ups: Vec<bool> = self.decisions.iter().map(|decision| decision.replicas > decision.before).collect();
        ups.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// The most requests that waited at one moment.
    pub fn most_waiting(&self) -> usize {
        self.moments.iter().map(|moment| moment.waiting).max().unwrap_or(0)
    }

    fn name(&self) -> String {
        format!("{}, cold start {} s", self.rule, self.cold_start_seconds)
    }
}

impl ScalingReplayRun {
    /// Where the numbers came from.
    pub const PROVENANCE: Provenance = Provenance::Replayed;

    /// Changes, flaps, backlog and cost of each case.
    pub fn table(&self) -> Table {
        let columns = [
            "rule",
            "cold start, s",
            "replicas, first to last",
            "changes",
            "flaps",
            "most waiting",
            "backlog, request-seconds",
            "mean wait, s",
            "replica-seconds",
        ];
        let title = format!("{} s of scaling by the HPA rule, {}", self.replay.seconds, Self::PROVENANCE);
        let mut table = Table::new(title, columns);
        for case in &self.cases {
            let ends = [case.moments.first(), case.moments.last()].map(|end| end.map_or(0, |moment| moment.wanted));
            table = table.row([
                case.rule.clone(),
                case.cold_start_seconds.to_string(),
                format!("{} to {}", ends[0], ends[1]),
                case.decisions.len().to_string(),
                case.flaps().to_string(),
                case.most_waiting().to_string(),
                significant(case.backlog_request_seconds),
                significant(case.mean_wait_seconds),
                significant(case.replica_seconds),
            ]);
        }
        table
            .note("A flap is a change that goes back on the one before it: from more to fewer, or from fewer to more.")
            .note(format!(
                "Replicas manage {} requests/s each; the same requests in all cases, on a virtual clock.",
                self.replay.requests_per_second_of_replica
            ))
    }

    /// Replicas over time, and the load over what one replica manages.
    ///
    /// # Errors
    /// None in practice: every number is finite.
    pub fn figure(&self) -> Result<Figure> {
        let mut figure = Figure::new("Replicas that the rule wants").x_label("seconds").y_label("replicas");
        if let Some(case) = self.cases.first() {
            let load = |moment: &ScalingMoment| moment.requests_per_second / self.replay.requests_per_second_of_replica;
            let (xs, ys) = drawn(case, load);
            figure = figure.line("load over what one replica manages", &xs, &ys)?;
        }
        self.with_cases(figure, |moment| moment.wanted as f64)
    }

    /// Waiting requests over time.
    ///
    /// # Errors
    /// None in practice: every number is finite.
    pub fn backlog_figure(&self) -> Result<Figure> {
        let figure = Figure::new("Requests that wait").x_label("seconds").y_label("waiting requests");
        self.with_cases(figure, |moment| moment.waiting as f64)
    }

    /// Shows table and figures below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        for figure in [self.figure(), self.backlog_figure()].into_iter().flatten() {
            figure.evcxr_display();
        }
    }

    fn with_cases(&self, mut figure: Figure, value: impl Fn(&ScalingMoment) -> f64) -> Result<Figure> {
        for case in &self.cases {
            let (xs, ys) = drawn(case, &value);
            figure = figure.line(format!("{} ({})", case.name(), Self::PROVENANCE), &xs, &ys)?;
        }
        Ok(figure)
    }
}

fn drawn(case: &ScalingCase, value: impl Fn(&ScalingMoment) -> f64) -> (Vec<f64>, Vec<f64>) {
    case.moments.iter().map(|moment| (moment.seconds, value(moment))).unzip()
}
