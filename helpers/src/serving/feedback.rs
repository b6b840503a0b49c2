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

use serde::{Deserialize, Serialize};

use super::DriftMonitor;
use super::feedback_course::{Course, label};
use super::feedback_run::FeedbackRun;
use super::in_service::InService;
use crate::data::{Arrivals, Dataset, RequestLog, Split};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Mlp;
use crate::training::Training;

/// Numbers in a request.
const FEATURES: usize = 8;
/// Labelled rows that the model learned from before it was put into service.
const HISTORY: usize = 4_000;
/// The history's log has a seed far from the stream's.
const HISTORY_SEED: u64 = 0x6869_7374;
/// So few new labels are not worth a training.
pub(super) const FEWEST_ROWS: usize = 200;
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

    pub(super) fn training(&self) -> Training {
        // So small a model is done on the processor before a graphics card has begun.
        Training::new(Self::model())
            .steps(self.steps)
            .evaluate_every(self.steps)
            .learning_rate(0.2)
            .seed(self.seed)
            .device(Device::Cpu)
    }

    /// Rows with their labels, as a training wants them.
    pub(super) fn labelled<'a>(&self, rows: impl Iterator<Item = (&'a [f32], u32)>) -> Result<Split> {
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for (row, label) in rows {
            features.extend_from_slice(row);
            labels.push(label);
        }
        Dataset::new("labelled requests", FEATURES, 2, features, labels)?.split(HELD_OUT, self.seed)
    }
}
