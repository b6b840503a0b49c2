//! One pass of a stream of requests through a served model: answers, late labels, alarms, and training again.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::drift::DriftMonitor;
use super::feedback::{FEWEST_ROWS, Feedback, Retrain};
use super::feedback_run::FeedbackWindow;
use super::in_service::InService;
use super::psi::LEAST_REFERENCE;
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::measure::share::share;

/// How far the border between the classes bends.
const BEND: f64 = 1.5;

/// What is right for a row, by the first rule or by the one after the change.
pub(super) fn label(row: &[f32], changed: bool) -> u32 {
    let length = (row.len() as f64).sqrt();
    let (mut along, mut across) = (0.0, 0.0);
    for (place, value) in row.iter().enumerate() {
        along += f64::from(*value) / length;
        across += if place % 2 == 0 { f64::from(*value) } else { -f64::from(*value) } / length;
    }
    let border = BEND * along.sin();
    u32::from(across > if changed { -border } else { border })
}

/// One pass of the stream.
pub(super) struct Course<'a> {
    feedback: &'a Feedback,
    rows: &'a [Vec<f32>],
    service: &'a InService,
    /// Those that the service has.
    parameters: Vec<f32>,
    monitor: DriftMonitor,
    retraining: bool,
    /// What the model answered to each request so far.
    answered: Vec<u32>,
    /// Which requests get a label.
    chosen: Vec<bool>,
    /// Requests whose label has come, with it and whether the answer was right.
    labelled: Vec<(usize, u32, bool)>,
    /// The first request of the first window with an alarm since the reference is what it is.
    drifting_since: Option<usize>,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        feedback: &'a Feedback,
        rows: &'a [Vec<f32>],
        (service, parameters): (&'a InService, Vec<f32>),
        monitor: DriftMonitor,
        retraining: bool,
    ) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(feedback.seed);
        let chosen = rows.iter().map(|_| random.random_bool(feedback.label_share)).collect();
        let (answered, labelled) = (Vec::new(), Vec::new());
        Self {
            feedback,
            rows,
            service,
            parameters,
            monitor,
            retraining,
            answered,
            chosen,
            labelled,
            drifting_since: None,
        }
    }

    pub(super) fn run(mut self) -> Result<Vec<FeedbackWindow>> {
        let Feedback { window, label_delay, .. } = *self.feedback;
        let count = self.rows.len() / window;
        let name = if self.retraining { "with retraining" } else { "without retraining" };
        let mut progress = Progress::new(name, Some(count));
        let mut windows = Vec::with_capacity(count);
        for number in 0..count {
            check_interrupt()?;
            let (start, end) = (number * window, (number + 1) * window);
            let features: Vec<f32> = self.rows[start..end].concat();
            self.answered.extend(self.service.answers(&features, 1)?.into_iter().map(|answer| answer.class));
            let mut seen = None;
            for row in &self.rows[start..end] {
                seen = self.monitor.observe(row)?.cloned();
            }
            let drift = seen.ok_or_else(|| Error::invalid("the monitor's windows are not those of the stream"))?;
            self.labels_come(start.saturating_sub(label_delay)..end.saturating_sub(label_delay));
            let retrained_on = if self.retraining { self.feed_back(start, end, drift.alarm)? } else { 0 };
            let worst = drift.worst();
            windows.push(FeedbackWindow {
                first_request: start,
                psi: worst.psi,
                feature: worst.feature,
                alarm: drift.alarm,
                accuracy: None,
                retrained_on,
            });
            progress.advance(1);
        }
        self.labels_come((count * window).saturating_sub(label_delay)..count * window);
        for window in &mut windows {
            let of_window = window.first_request..window.first_request + self.feedback.window;
            let judged = || self.labelled.iter().filter(|(request, ..)| of_window.contains(request));
            window.accuracy = share(judged().filter(|(.., right)| *right).count(), judged().count());
        }
        Ok(windows)
    }

    /// The labels of those of these requests that get one.
    fn labels_come(&mut self, requests: std::ops::Range<usize>) {
        for request in requests.filter(|request| self.chosen[*request]) {
            let changed = self.feedback.rule_change.is_some_and(|change| request >= change);
            let label = label(&self.rows[request], changed);
            self.labelled.push((request, label, label == self.answered[request]));
        }
    }

    /// Trains again when there is a reason to; says on how many rows.
    fn feed_back(&mut self, start: usize, end: usize, alarm: bool) -> Result<usize> {
        if alarm {
            self.drifting_since.get_or_insert(start);
        }
        let fell = self.feedback.retrain == Retrain::OnDriftOrAccuracy && self.accuracy_fell();
        if !(alarm || fell) || self.labelled.len() < FEWEST_ROWS {
            return Ok(0);
        }
        let latest = &self.labelled[self.labelled.len().saturating_sub(self.feedback.recent)..];
        let rows = latest.iter().map(|(request, label, _)| (self.rows[*request].as_slice(), *label));
        let split = self.feedback.labelled(rows)?;
        self.parameters = self.feedback.training().trained(&split, Some(&self.parameters))?.parameters()?;
        self.service.replace(&self.parameters)?;
        let retrained_on = latest.len();
        // What the model has learned by now is what later requests have to look like.
        if let Some(since) = self.drifting_since.filter(|since| end - since >= LEAST_REFERENCE) {
            self.monitor.renew(&self.rows[since..end])?;
            self.drifting_since = None;
        }
        Ok(retrained_on)
    }

    /// True when the latest window's worth of labels is clearly less often right than the first one's.
    fn accuracy_fell(&self) -> bool {
        let count = (self.feedback.label_share * self.feedback.window as f64).round() as usize;
        if self.labelled.len() < 2 * count.max(1) {
            return false;
        }
        let right =
            |labels: &[(usize, u32, bool)]| labels.iter().filter(|(.., right)| *right).count() as f64 / count as f64;
        right(&self.labelled[self.labelled.len() - count..])
            < right(&self.labelled[..count]) - self.feedback.accuracy_fall
    }
}
