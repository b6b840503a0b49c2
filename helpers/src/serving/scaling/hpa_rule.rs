//! The rule of Kubernetes' horizontal pod autoscaler.
//!
//! ```text
//! desired = ceil(replicas x metric / target)
//! ```
//!
//! where the metric is per replica. Around this one line stand the parts that keep it calm. Their numbers are Kubernetes' own:
//! the page [Horizontal Pod Autoscaling](https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/)
//! ("Algorithm details", "Default behavior") and the sources that it describes, `replica_calculator.go` and `horizontal.go` in
//! [`pkg/controller/podautoscaler`](https://github.com/kubernetes/kubernetes/tree/master/pkg/controller/podautoscaler):
//!
//! - a decision every 15 s, on the mean of the last 15 s
//! - nothing changes while the metric is within 10 % of the target
//! - replicas that are not ready yet count as idle when more are wanted, so that those that are on their way are not
//!   ordered again; without any metric nothing changes
//! - downwards the highest recommendation of the last 300 s holds; upwards the newest one holds at once
//! - in 15 s at most 4 replicas more, or twice as many, whichever is more; downwards there is no such limit

use serde::{Deserialize, Serialize};

use super::HpaState;
use crate::error::{Error, Result};

/// A description of the rule, with Kubernetes' defaults; [`HpaRule::start`] makes it decide.
///
/// ```
/// use onramp::serving::HpaRule;
///
/// // 10 requests/s for each replica. Each of 2 has 25, so 5 are wanted.
/// let mut state = HpaRule::new(10.0).start(2)?;
/// for second in 1..15 {
///     assert_eq!(state.observe(f64::from(second), 25.0, 2)?.replicas, 2);
/// }
/// assert_eq!(state.observe(15.0, 25.0, 2)?.replicas, 5);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HpaRule {
    pub(super) target: f64,
    pub(super) tolerance: f64,
    pub(super) window_seconds: f64,
    pub(super) period_seconds: f64,
    pub(super) stabilisation_seconds: f64,
    pub(super) fewest: usize,
    pub(super) most: usize,
    pub(super) more: usize,
    pub(super) more_factor: f64,
    pub(super) more_seconds: f64,
}

impl HpaRule {
    /// Keeps the metric of each replica near `target`, in the metric's unit, with 1 to 100 replicas.
    pub fn new(target: f64) -> Self {
        Self {
            target,
            tolerance: 0.1,
            window_seconds: 15.0,
            period_seconds: 15.0,
            stabilisation_seconds: 300.0,
            fewest: 1,
            most: 100,
            more: 4,
            more_factor: 2.0,
            more_seconds: 15.0,
        }
    }

    /// The share by which the metric may be off the target before anything changes.
    pub fn tolerance(mut self, share: f64) -> Self {
        self.tolerance = share;
        self
    }

    /// Seconds over which the metric is averaged.
    pub fn window(mut self, seconds: f64) -> Self {
        self.window_seconds = seconds;
        self
    }

    /// Seconds from one decision to the next.
    pub fn period(mut self, seconds: f64) -> Self {
        self.period_seconds = seconds;
        self
    }

    /// Seconds of which the highest recommendation holds when fewer replicas are wanted; 0 follows the newest at once.
    pub fn stabilisation(mut self, seconds: f64) -> Self {
        self.stabilisation_seconds = seconds;
        self
    }

    /// Never fewer and never more replicas than these.
    pub fn between(mut self, fewest: usize, most: usize) -> Self {
        (self.fewest, self.most) = (fewest, most);
        self
    }

    /// In so many seconds at most `more` replicas are added, or `factor` times as many are reached, whichever is more.
    pub fn scale_up(mut self, more: usize, factor: f64, seconds: f64) -> Self {
        (self.more, self.more_factor, self.more_seconds) = (more, factor, seconds);
        self
    }

    /// The same rule on a faster or slower clock: all its times multiplied, so that 0.1 makes 15 s into 1.5 s.
    pub fn times_scaled(mut self, factor: f64) -> Self {
        for seconds in [
            &mut self.window_seconds,
            &mut self.period_seconds,
            &mut self.stabilisation_seconds,
            &mut self.more_seconds,
        ] {
            *seconds *= factor;
        }
        self
    }

    /// A rule that decides at 0 s that there are `replicas`, and from then on by what it observes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense, and replicas outside of the limits.
    pub fn start(&self, replicas: usize) -> Result<HpaState> {
        self.validate()?;
        if !(self.fewest..=self.most).contains(&replicas) {
            return Err(Error::invalid(format!(
                "{replicas} replicas can't be kept between {} and {}; start with a number in that range, or change it \
                 with .between(..)",
                self.fewest, self.most
            )));
        }
        Ok(HpaState::new(*self, replicas))
    }

    /// So many replicas, or the nearest number that there may be.
    pub(super) fn nearest(&self, replicas: usize) -> usize {
        replicas.min(self.most).max(self.fewest)
    }

    /// Seconds from one sample of the metric to the next: one, or less when the rule looks back on less.
    pub(super) fn sample_seconds(&self) -> f64 {
        self.window_seconds.min(self.period_seconds).min(1.0)
    }

    pub(super) fn validate(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        if !positive(self.target) {
            return Err(Error::invalid(format!(
                "a target of {} can't be kept; use a number above 0, in the metric's unit per replica",
                self.target
            )));
        }
        if !(not_negative(self.tolerance) && self.tolerance < 1.0) {
            return Err(Error::invalid(format!(
                "a tolerance of {} makes no sense; use a share from 0 to below 1, such as 0.1",
                self.tolerance
            )));
        }
        let times = [self.window_seconds, self.period_seconds, self.more_seconds];
        if !times.into_iter().all(positive) || !not_negative(self.stabilisation_seconds) {
            return Err(Error::invalid(format!(
                "a window of {} s, a decision every {} s, a scale-up limit for {} s and a stabilisation of {} s can't be \
                 used; all but the last must be above 0",
                self.window_seconds, self.period_seconds, self.more_seconds, self.stabilisation_seconds
            )));
        }
        if self.fewest == 0 || self.fewest > self.most {
            return Err(Error::invalid(format!(
                "{} to {} replicas is no range; use at least 1, and no fewer at most than at least",
                self.fewest, self.most
            )));
        }
        if !self.more_factor.is_finite() || self.more_factor < 1.0 || (self.more == 0 && self.more_factor == 1.0) {
            return Err(Error::invalid(format!(
                "a scale-up by at most {} replicas or {} times as many never adds one; allow at least 1 replica or more \
                 than 1 times",
                self.more, self.more_factor
            )));
        }
        Ok(())
    }
}
