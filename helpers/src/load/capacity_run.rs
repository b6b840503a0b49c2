//! What a search for the capacity found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Capacity, LoadRun};
use crate::display::{Table, chosen, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::measure::Estimate;

/// The result of [`Capacity::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityRun {
    /// What was searched.
    pub capacity: Capacity,
    /// The highest rate that passed, in requests per second.
    pub per_second: f64,
    /// The lowest rate that did not; none when every rate that was tried passed.
    pub first_failed_per_second: Option<f64>,
    /// All trials, in the order in which they were made.
    pub trials: Vec<Trial>,
}

/// A load at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The rate that was asked for, in requests per second.
    pub per_second: f64,
    /// How it ended.
    pub end: TrialEnd,
    /// All that was measured.
    pub run: LoadRun,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialEnd {
    /// The p99, in seconds, was below the bound, and every request succeeded.
    Passed(f64),
    /// The p99, in seconds, was not.
    TooSlow(f64),
    /// So many requests did not succeed.
    Failures(u64),
    /// The load generator could not keep up, so that nothing is known about the service.
    GeneratorTooSlow,
}

impl fmt::Display for TrialEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(seconds) => write!(f, "passed, p99 {} ms", significant(1e3 * seconds)),
            Self::TooSlow(seconds) => write!(f, "too slow, p99 {} ms", significant(1e3 * seconds)),
            Self::Failures(count) => write!(f, "{} requests failed", chosen(*count as f64)),
            Self::GeneratorTooSlow => f.write_str("the load generator could not keep up"),
        }
    }
}

impl CapacityRun {
    /// True when it was the load generator that ended the search: the service may take more.
    pub fn is_limited_by_generator(&self) -> bool {
        let failed = self.first_failed_per_second;
        let mut trials = self.trials.iter().filter(|trial| Some(trial.per_second) == failed);
        failed.is_none() || trials.any(|trial| trial.end == TrialEnd::GeneratorTooSlow)
    }

    /// All trials by their rate, and the capacity.
    pub fn table(&self) -> Table {
        let mut trials: Vec<&Trial> = self.trials.iter().collect();
        trials.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let table = Table::new(
            format!("Capacity: {} requests/s", significant(self.per_second)),
            ["requests/s", "p50, ms", "p99, ms", "goodput, requests/s", "end"],
        );
        let table = trials.into_iter().fold(table, |table, trial| {
            let milliseconds =
                |percent| trial.run.percentile(percent).map_or(String::new(), |seconds| significant(1e3 * seconds));
            table.row([
                significant(trial.per_second),
                milliseconds(50.0),
                milliseconds(99.0),
                significant(trial.run.goodput_per_second()),
                trial.end.to_string(),
            ])
        });
        let table = table.note(format!(
            "The highest rate at which the p99 stays under {} ms and every request succeeds, in two of three trials{}.",
            significant(1e3 * self.capacity.allowed_seconds()),
            self.first_failed_per_second
                .map_or(String::new(), |failed| format!("; {} requests/s is too much", significant(failed)))
        ));
        if !self.is_limited_by_generator() {
            return table;
        }
        table.note("It was the load generator that could not send more: the service may take a higher rate.")
    }

    /// The p99 of the trials against the rate.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was measured.
    pub fn figure(&self) -> Result<Figure> {
        let known = self.trials.iter().filter_map(|trial| Some((trial, trial.run.percentile(99.0).ok()?)));
        let (xs, ys): (Vec<f64>, Vec<Estimate>) =
            known.map(|(trial, seconds)| (trial.per_second, Estimate::exact(1e3 * seconds))).unzip();
        let provenance = self.trials.first().map_or(crate::measure::Provenance::Measured, |trial| trial.run.provenance);
        let bound = 1e3 * self.capacity.allowed_seconds();
        let ends = [xs.iter().copied().fold(f64::INFINITY, f64::min), xs.iter().copied().fold(0.0, f64::max)];
        let figure = Figure::new("How much the service takes")
            .x_label("requests per second")
            .y_label("p99, ms")
            .log_x()
            .log_y()
            .points("trials", provenance, &xs, &ys)?;
        let figure = if xs.is_empty() { figure } else { figure.line("allowed", &ends, &[bound, bound])? };
        Ok(figure.vertical(self.per_second, format!("capacity {}", significant(self.per_second))))
    }

    /// Shows the table and the figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
