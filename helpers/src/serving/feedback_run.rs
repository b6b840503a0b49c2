//! What a stream of requests showed, without and with retraining.

use serde::{Deserialize, Serialize};

use super::feedback::Feedback;
use crate::display::{Table, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::measure::share::share;
use crate::measure::{Estimate, Provenance};

/// Windows at the end of the stream, over which its last accuracy is taken.
const LAST_WINDOWS: usize = 4;

/// One window of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedbackWindow {
    /// The number of its first request, from 0.
    pub first_request: usize,
    /// The highest PSI among the watched features.
    pub psi: f64,
    /// The feature that has it.
    pub feature: usize,
    /// True when it is above the monitor's threshold.
    pub alarm: bool,
    /// Share of this window's answers that were right, by the labels that came later. None when no label came.
    pub accuracy: Option<Estimate>,
    /// Labelled rows of a training at the end of this window; 0 when there was none.
    pub retrained_on: usize,
}

/// The result of [`Feedback::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedbackRun {
    /// What was run.
    pub feedback: Feedback,
    /// The PSI that chance alone gives on average.
    pub noise: f64,
    /// The probability of a false alarm in a window.
    pub false_alarm_probability: f64,
    /// The windows while the model stays as it is.
    pub without: Vec<FeedbackWindow>,
    /// The windows of the same requests with retraining.
    pub with: Vec<FeedbackWindow>,
}

impl FeedbackRun {
    /// Windows from the shift of the inputs to the first alarm: 1 when the window that the shift lies in raised it. None
    /// without a shift, or without an alarm after it.
    pub fn windows_to_detection(&self) -> Option<usize> {
        let (request, _) = self.feedback.shift?;
        let first = request / self.feedback.window;
        self.without.iter().skip(first).position(|window| window.alarm).map(|place| place + 1)
    }

    /// Alarms in windows that end before the inputs shift, or in all when they never do.
    pub fn false_alarms(&self) -> usize {
        let shift = self.feedback.shift.map_or(usize::MAX, |(request, _)| request);
        let before = |window: &&FeedbackWindow| window.first_request + self.feedback.window <= shift;
        self.without.iter().filter(before).filter(|window| window.alarm).count()
    }

    /// How often the model was trained again.
    pub fn retrainings(&self) -> usize {
        self.with.iter().filter(|window| window.retrained_on > 0).count()
    }

    /// Share of right answers in the windows before anything changes.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] when no label came for them.
    pub fn accuracy_before(&self) -> Result<Estimate> {
        let change = self.first_change();
        self.pooled(self.without.iter().filter(|window| window.first_request + self.feedback.window <= change))
    }

    /// Share of right answers in the last four windows, with or without retraining.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] when no label came for them.
    pub fn accuracy_at_end(&self, retraining: bool) -> Result<Estimate> {
        let windows = if retraining { &self.with } else { &self.without };
        self.pooled(windows.iter().rev().take(LAST_WINDOWS))
    }

    fn first_change(&self) -> usize {
        let shift = self.feedback.shift.map(|(request, _)| request);
        shift.into_iter().chain(self.feedback.rule_change).min().unwrap_or(usize::MAX)
    }

    /// Each window has about as many labels as the others, so that shares can be added.
    fn pooled<'a>(&self, windows: impl Iterator<Item = &'a FeedbackWindow>) -> Result<Estimate> {
        let shares: Vec<f64> = windows.filter_map(|window| Some(window.accuracy.as_ref()?.median)).collect();
        let labels = self.feedback.label_share * (self.feedback.window * shares.len()) as f64;
        let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        share((mean * labels).round() as usize, labels.round() as usize).ok_or_else(|| {
            Error::TooFewPoints(
                "no label came for these windows; let more requests pass, or give more of them labels".into(),
            )
        })
    }

    /// Both courses, window by window.
    pub fn table(&self) -> Table {
        let columns = ["requests", "highest PSI", "alarm", "right without, %", "right with, %", "trained again on"];
        let mut table = Table::new("A served model while the world changes", columns);
        let percent = |accuracy: &Option<Estimate>| {
            accuracy.as_ref().map_or(String::new(), |accuracy| accuracy.map(|share| 100.0 * share).to_string())
        };
        for (without, with) in self.without.iter().zip(&self.with) {
            table = table.row([
                format!("{} to {}", with.first_request, with.first_request + self.feedback.window - 1),
                significant(with.psi),
                if with.alarm { format!("ALARM, feature {}", with.feature) } else { String::new() },
                percent(&without.accuracy),
                percent(&with.accuracy),
                if with.retrained_on > 0 { format!("{} rows", with.retrained_on) } else { String::new() },
            ]);
        }
        let Feedback { shift, rule_change, label_share, label_delay, .. } = self.feedback;
        if let Some((request, deviations)) = shift {
            table =
                table.note(format!("From request {request} on the mean of each feature is {deviations} sigma higher."));
        }
        if let Some(request) = rule_change {
            table = table.note(format!(
                "From request {request} on another rule decides what is right; the inputs look as before, so PSI can't see it."
            ));
        }
        table
            .note(format!(
                "Labels came for {} % of the requests, {label_delay} requests later. Chance alone gives a PSI of {} on \
                 average, and a false alarm in a window with a probability of {}.",
                significant(100.0 * label_share),
                significant(self.noise),
                significant(self.false_alarm_probability)
            ))
            .note("PSI and alarms are those with retraining, where rows of after the alarm become the reference once there are \
                   3,000 of them.")
    }

    /// The accuracy of both courses, and the PSI as a curve.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn figure(&self) -> Result<Figure> {
        let mut figure = Figure::new("A served model while the world changes")
            .x_label("requests")
            .y_label("share of right answers; PSI");
        for (name, windows) in [("without retraining", &self.without), ("with retraining", &self.with)] {
            let end = |window: &FeedbackWindow| (window.first_request + self.feedback.window) as f64;
            let judged = windows.iter().filter_map(|window| Some((end(window), window.accuracy.clone()?)));
            let (xs, ys): (Vec<f64>, Vec<Estimate>) = judged.unzip();
            let medians: Vec<f64> = ys.iter().map(|accuracy| accuracy.median).collect();
            figure = figure.points(name, Provenance::Measured, &xs, &ys)?.line(name, &xs, &medians)?;
        }
        let ends: Vec<f64> =
            self.with.iter().map(|window| (window.first_request + self.feedback.window) as f64).collect();
        let psi: Vec<f64> = self.with.iter().map(|window| window.psi).collect();
        figure = figure.line("highest PSI", &ends, &psi)?;
        if let Some((request, _)) = self.feedback.shift {
            figure = figure.vertical(request as f64, "the inputs shift");
        }
        if let Some(request) = self.feedback.rule_change {
            figure = figure.vertical(request as f64, "the rule changes");
        }
        Ok(figure)
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
