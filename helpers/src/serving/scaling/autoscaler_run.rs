//! What an autoscaler did.

use serde::{Deserialize, Serialize};

use super::{HpaDecision, HpaRule};
use crate::display::{Table, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::measure::Provenance;

/// One look at the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AutoscalerMoment {
    /// Seconds since the start.
    pub seconds: f64,
    /// The metric per ready replica since the moment before, in the unit of the rule's target; none when it was not known.
    pub metric: Option<f64>,
    /// Replicas that the rule wants from now on.
    pub wanted: usize,
    /// Replicas that were ready when it decided.
    pub ready: usize,
}

/// The result of an [`Autoscaler`](super::Autoscaler).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoscalerRun {
    /// The rule.
    pub rule: HpaRule,
    /// Where the numbers came from.
    pub provenance: Provenance,
    /// One for each sample of the metric.
    pub moments: Vec<AutoscalerMoment>,
    /// The decisions that changed the number of replicas.
    pub decisions: Vec<HpaDecision>,
    /// What went wrong, and when, in seconds since the start.
    pub reports: Vec<(f64, String)>,
}

impl AutoscalerRun {
    pub(super) fn new(rule: HpaRule, provenance: Provenance) -> Self {
        Self { rule, provenance, moments: Vec::new(), decisions: Vec::new(), reports: Vec::new() }
    }

    /// The most replicas that were ready at one moment.
    pub fn most_ready(&self) -> usize {
        self.moments.iter().map(|moment| moment.ready).max().unwrap_or(0)
    }

    /// Seconds from the first decision for more replicas until all of them were ready; none when there was no such
    /// decision, or they never were.
    pub fn seconds_to_ready(&self) -> Option<f64> {
        let decision = self.decisions.iter().find(|decision| decision.replicas > decision.before)?;
        let after = |moment: &&AutoscalerMoment| moment.seconds > decision.seconds && moment.ready >= decision.replicas;
        self.moments.iter().find(after).map(|moment| moment.seconds - decision.seconds)
    }

    /// The decisions that changed something, and what went wrong.
    pub fn table(&self) -> Table {
        let title = format!("Replicas of real processes, {}", self.provenance);
        let mut table = Table::new(title, ["seconds", "metric per replica", "recommended", "replicas", "why"]);
        for decision in &self.decisions {
            table = table.row([
                significant(decision.seconds),
                decision.metric.map_or(String::new(), significant),
                decision.recommendation.to_string(),
                format!("{} to {}", decision.before, decision.replicas),
                decision.reason.to_string(),
            ]);
        }
        for (seconds, report) in &self.reports {
            table = table.note(format!("{} s: {report}", significant(*seconds)));
        }
        table
    }

    /// Replicas that were wanted and that were ready, over time.
    ///
    /// # Errors
    /// None in practice: every number is finite.
    pub fn figure(&self) -> Result<Figure> {
        let seconds: Vec<f64> = self.moments.iter().map(|moment| moment.seconds).collect();
        let line = |value: fn(&AutoscalerMoment) -> usize| -> Vec<f64> {
            self.moments.iter().map(|moment| value(moment) as f64).collect()
        };
        Figure::new("Replicas that the rule wants, and those that are ready")
            .x_label("seconds")
            .y_label("replicas")
            .line(format!("wanted ({})", self.provenance), &seconds, &line(|moment| moment.wanted))?
            .line(format!("ready ({})", self.provenance), &seconds, &line(|moment| moment.ready))
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
