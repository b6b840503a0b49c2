//! A served model in a world that changes, with and without a loop back to training.
//!
//! ```text
//! requests -> model -> answers             labels come later, for some of the requests
//!     |         ^                             |
//!     v         |                             v
//!  monitor -> alarm -> training again <- latest labelled rows
//! ```
//!
//! Requests are those of a [`RequestLog`]: normal features, whose mean may shift. What is right is decided by a fixed rule over
//! two directions of a row x of d features, s along their mean and u across it:
//!
//! ```text
//! s = sum x_i / sqrt(d)        u = sum (-1)^i x_i / sqrt(d)
//! label = 1 where u > BEND sin(s), else 0;     after a change of the rule: u > -BEND sin(s)
//! ```
//!
//! When all features shift by 1 standard deviation, s shifts by sqrt(d), 2.8 for the 8 features here: to where the model saw
//! no rows, and where the border between the classes bends the other way. That is a *drift of the inputs*: the rule stays,
//! and the monitor sees it without any label. When the rule changes the inputs look as before. That *concept drift* can only be
//! seen in the labels (Gama et al. 2014, "A survey on concept drift adaptation").
//!
//! Where do labels come from? Here from the rule; in a real service from what happens later (a purchase, a repaid
//! loan) or from people who look at a sample. So they are late and few, and both are parameters.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::DriftMonitor;
use super::drift::LEAST_REFERENCE;
use super::feedback_run::{FeedbackRun, FeedbackWindow};
use super::in_service::InService;
use crate::data::{Arrivals, Dataset, RequestLog, Split};
use crate::device::Device;
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::measure::share::share;
use crate::model::Mlp;
use crate::training::Training;

/// Numbers in a request.
const FEATURES: usize = 8;
/// How far the border between the classes bends.
const BEND: f64 = 1.5;
/// Labelled rows that the model learned from before it was put into service.
const HISTORY: usize = 4_000;
/// The history's log has a seed far from the stream's.
const HISTORY_SEED: u64 = 0x6869_7374;
/// So few new labels are not worth a training.
const FEWEST_ROWS: usize = 200;
/// The share of rows by which a training looks at itself.
const HELD_OUT: f64 = 0.1;

/// What starts a training with the latest labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retrain {
    /// The monitor's alarm: the inputs drifted.
    #[default]
    OnDrift,
    /// The alarm, or late labels that show a fallen accuracy.
    OnDriftOrAccuracy,
}

/// A stream of requests to a model, once without and once with retraining.
///
/// ```no_run
/// use onramp::serving::Feedback;
///
/// let run = Feedback::new(9_000).inputs_shift(3_000, 1.0).run()?;
/// assert!(run.windows_to_detection().is_some_and(|windows| windows <= 2));
/// assert!(run.accuracy_at_end(true)?.low > run.accuracy_at_end(false)?.high);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    pub(super) requests: usize,
    pub(super) shift: Option<(usize, f64)>,
    pub(super) rule_change: Option<usize>,
    pub(super) window: usize,
    pub(super) watched: Vec<usize>,
    pub(super) label_share: f64,
    pub(super) label_delay: usize,
    pub(super) retrain: Retrain,
    pub(super) recent: usize,
    pub(super) accuracy_fall: f64,
    pub(super) steps: usize,
    pub(super) seed: u64,
    pub(super) server: Option<String>,
}

impl Feedback {
    /// So many requests to M(64), in windows of 500, of which the monitor watches the first three features. Nothing changes;
    /// half of the requests get their label, 500 requests later; a training takes the latest 1,000 of them.
    pub fn new(requests: usize) -> Self {
        Self {
            requests,
            shift: None,
            rule_change: None,
            window: 500,
            watched: vec![0, 1, 2],
            label_share: 0.5,
            label_delay: 500,
            retrain: Retrain::default(),
            recent: 1_000,
            accuracy_fall: 0.1,
            steps: 800,
            seed: 0,
            server: None,
        }
    }

    /// From this request on the mean of each of the 8 features is higher by so many standard deviations.
    pub fn inputs_shift(mut self, request: usize, deviations: f64) -> Self {
        self.shift = Some((request, deviations));
        self
    }

    /// From this request on another rule decides what is right; the inputs stay as they are.
    pub fn rule_changes(mut self, request: usize) -> Self {
        self.rule_change = Some(request);
        self
    }

    /// Requests in a window of the monitor.
    pub fn window(mut self, requests: usize) -> Self {
        self.window = requests;
        self
    }

    /// The features that the monitor watches, from 0 to 7.
    pub fn watched(mut self, features: impl IntoIterator<Item = usize>) -> Self {
        self.watched = features.into_iter().collect();
        self
    }

    /// The share of requests that get a label, above 0 and at most 1, and how many requests later it comes.
    pub fn labels(mut self, share: f64, requests_later: usize) -> Self {
        (self.label_share, self.label_delay) = (share, requests_later);
        self
    }

    /// What starts a training.
    pub fn retrain(mut self, when: Retrain) -> Self {
        self.retrain = when;
        self
    }

    /// Labelled rows that a training takes, the latest.
    pub fn recent(mut self, rows: usize) -> Self {
        self.recent = rows;
        self
    }

    /// The seed of the requests, of who gets a label and of the weights.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sends each request to this prediction server, such as `127.0.0.1:34567`, and puts what was trained in place there. It
    /// must serve [`Feedback::model`].
    pub fn server(mut self, address: &str) -> Self {
        self.server = Some(address.to_string());
        self
    }

    /// The model that is served: M(64) with 8 inputs and 2 classes.
    pub fn model() -> Mlp {
        Mlp::new(64).inputs(FEATURES).outputs(2)
    }

    /// Trains the model on a history of labelled rows, then lets the same stream pass without and with retraining.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for windows, shares or places that make no sense; [`Error::Interrupted`].
    pub fn run(&self) -> Result<FeedbackRun> {
        self.validate()?;
        let history = self.log(HISTORY, self.seed ^ HISTORY_SEED).generate()?;
        let history: Vec<Vec<f32>> = history.into_iter().map(|request| request.features).collect();
        let network = self
            .training()
            .trained(&self.labelled(history.iter().map(|row| (row.as_slice(), label(row, false))))?, None)?;
        let monitor = DriftMonitor::new(&history, self.watched.iter().copied())?.window(self.window)?;
        let mut log = self.log(self.requests, self.seed);
        if let Some((request, deviations)) = self.shift {
            log = log.drift(request, deviations);
        }
        let rows: Vec<Vec<f32>> = log.generate()?.into_iter().map(|request| request.features).collect();
        let start = network.parameters()?;
        let mut courses = Vec::new();
        let service = InService::put(network, self.server.as_deref())?;
        for retraining in [false, true] {
            service.replace(&start)?;
            courses.push(Course::new(self, &rows, (&service, start.clone()), monitor.clone(), retraining).run()?);
        }
        let with = courses.pop().unwrap_or_default();
        Ok(FeedbackRun {
            noise: monitor.noise(),
            false_alarm_probability: monitor.false_alarm_probability(),
            without: courses.pop().unwrap_or_default(),
            with,
            feedback: self.clone(),
        })
    }

    fn validate(&self) -> Result<()> {
        if self.window == 0 || self.requests < 2 * self.window {
            return Err(Error::invalid(format!(
                "{} requests in windows of {} show no course; use windows of at least 1 request, such as 500, and two \
                 windows or more",
                self.requests, self.window
            )));
        }
        if !(self.label_share > 0.0 && self.label_share <= 1.0) {
            return Err(Error::invalid(format!(
                "a share of {} of the requests can't get a label; use a number above 0 and at most 1, such as 0.5",
                self.label_share
            )));
        }
        if self.recent < FEWEST_ROWS {
            return Err(Error::invalid(format!(
                "a training on the latest {} labels learns too little; use at least {FEWEST_ROWS}, such as 1,000",
                self.recent
            )));
        }
        let changes = self.shift.map(|(request, _)| request).into_iter().chain(self.rule_change);
        if let Some(request) = changes.into_iter().find(|request| *request == 0 || *request >= self.requests) {
            return Err(Error::invalid(format!(
                "nothing changes at request {request} of {}; use a place within the stream, such as {}",
                self.requests,
                self.requests / 3
            )));
        }
        Ok(())
    }

    fn log(&self, requests: usize, seed: u64) -> RequestLog {
        RequestLog::new(requests, Arrivals::Poisson { per_second: 50.0 }).features(FEATURES).seed(seed)
    }

    fn training(&self) -> Training {
        // So small a model is done on the processor before a graphics card has begun.
        Training::new(Self::model())
            .steps(self.steps)
            .evaluate_every(self.steps)
            .learning_rate(0.2)
            .seed(self.seed)
            .device(Device::Cpu)
    }

    /// Rows with their labels, as a training wants them.
    fn labelled<'a>(&self, rows: impl Iterator<Item = (&'a [f32], u32)>) -> Result<Split> {
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for (row, label) in rows {
            features.extend_from_slice(row);
            labels.push(label);
        }
        Dataset::new("labelled requests", FEATURES, 2, features, labels)?.split(HELD_OUT, self.seed)
    }
}

/// What is right for a row, by the first rule or by the one after the change.
fn label(row: &[f32], changed: bool) -> u32 {
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
struct Course<'a> {
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
    fn new(
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

    fn run(mut self) -> Result<Vec<FeedbackWindow>> {
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
