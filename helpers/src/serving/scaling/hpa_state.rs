//! The rule at work: what it has observed, and what follows from it.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::HpaRule;
use crate::error::{Error, Result};

/// A product that is above a whole number by less than this is that whole number: only rounding errors are that small.
const ROUNDING: f64 = 1e-9;

/// The rule, and as much of the past as it looks back on. It knows no clock and starts nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct HpaState {
    rule: HpaRule,
    replicas: usize,
    now: f64,
    due: f64,
    /// When, and the metric of all ready replicas together.
    samples: VecDeque<(f64, f64)>,
    /// When, and how many were recommended.
    recommendations: VecDeque<(f64, usize)>,
    /// When, and how many were added.
    added: VecDeque<(f64, usize)>,
}

/// What the rule says after an observation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HpaDecision {
    /// When it was made, in the observation's seconds.
    pub seconds: f64,
    /// The metric per ready replica, averaged over the window; none without any sample, and between two decisions.
    pub metric: Option<f64>,
    /// ceil(replicas x metric / target), before stabilisation and limits.
    pub recommendation: usize,
    /// How many replicas there were meant to be before.
    pub before: usize,
    /// How many there are meant to be from now on.
    pub replicas: usize,
    /// Why.
    pub reason: HpaReason,
}

/// Why the rule decided as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HpaReason {
    /// The next decision is not due yet.
    NotDue,
    /// No replica is ready, or nobody knows the metric.
    NoMetric,
    /// The metric is near enough to the target, or as many as are wanted are already there or on their way.
    NearTarget,
    /// There are as many as were recommended.
    Recommended,
    /// More were recommended than may be added at once.
    ScaleUpLimit,
    /// Fewer were recommended, but not for long enough.
    Stabilised,
    /// More or fewer were recommended than there may ever be.
    Bounds,
}

impl fmt::Display for HpaReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDue => "not due yet",
            Self::NoMetric => "no metric",
            Self::NearTarget => "near the target",
            Self::Recommended => "as recommended",
            Self::ScaleUpLimit => "no more at once",
            Self::Stabilised => "more were recommended not long ago",
            Self::Bounds => "the least or most that there may be",
        })
    }
}

impl HpaDecision {
    /// Whether the number of replicas changes with it.
    pub fn is_change(&self) -> bool {
        self.replicas != self.before
    }
}

impl HpaState {
    pub(super) fn new(rule: HpaRule, replicas: usize) -> Self {
        Self {
            rule,
            replicas,
            now: 0.0,
            due: rule.period_seconds,
            samples: VecDeque::new(),
            // What there is at the start counts as recommended, or the first quiet window would end it.
            recommendations: VecDeque::from([(0.0, replicas)]),
            added: VecDeque::new(),
        }
    }

    /// How many replicas there are meant to be.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// Takes in one sample and decides, if a decision is due.
    ///
    /// `seconds` is the time since the start; `metric` the mean over the ready replicas since the last sample, none
    /// when nobody knows it; `ready_replicas` are those that it is the mean of. Replicas that are being stopped do not
    /// count. A sample weighs as much as its replicas carried together: one from before a change says nothing about
    /// replicas that were not there yet. (Kubernetes sets such replicas aside for the same reason.)
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a time before the last one, and a metric below 0 or not finite.
    pub fn observe(
        &mut self,
        seconds: f64,
        metric: impl Into<Option<f64>>,
        ready_replicas: usize,
    ) -> Result<HpaDecision> {
        let metric = metric.into();
        if !seconds.is_finite() || seconds < self.now {
            return Err(Error::invalid(format!(
                "an observation at {seconds} s can't follow one at {} s; time only goes on",
                self.now
            )));
        }
        if let Some(bad) = metric.filter(|metric| !metric.is_finite() || *metric < 0.0) {
            return Err(Error::invalid(format!(
                "a metric of {bad} can't be compared with the target {}; use a finite number from 0 on, or None when \
                 it is not known",
                self.rule.target
            )));
        }
        self.now = seconds;
        if let Some(metric) = metric.filter(|_| ready_replicas > 0) {
            self.samples.push_back((seconds, metric * ready_replicas as f64));
        }
        forget(&mut self.samples, seconds - self.rule.window_seconds);
        if seconds + ROUNDING < self.due {
            return Ok(self.decided(None, self.replicas, self.replicas, HpaReason::NotDue));
        }
        while self.due <= seconds + ROUNDING {
            self.due += self.rule.period_seconds;
        }
        let ready = ready_replicas.min(self.replicas);
        if self.samples.is_empty() || ready == 0 {
            return Ok(self.decided(None, self.replicas, self.replicas, HpaReason::NoMetric));
        }
        let together = self.samples.iter().map(|(_, sum)| sum).sum::<f64>() / self.samples.len() as f64;
        let metric = together / ready as f64;
        let recommendation = self.recommendation(metric, ready);
        let (replicas, reason) = self.calmed(recommendation);
        Ok(self.decided(Some(metric), recommendation, replicas, reason))
    }

    /// The rule's one line, with its tolerance, and with idle replicas in place of those that are not ready.
    fn recommendation(&self, metric: f64, ready: usize) -> usize {
        let ratio = metric / self.rule.target;
        let with_idle = ratio * ready as f64 / self.replicas as f64;
        let near = |ratio: f64| (ratio - 1.0).abs() <= self.rule.tolerance + ROUNDING;
        if near(ratio) || (ratio > 1.0 && (near(with_idle) || with_idle < 1.0)) {
            return self.replicas;
        }
        // Both ways it is what the ready ones carry, over what one should carry.
        (ratio * ready as f64 - ROUNDING).ceil() as usize
    }

    /// How many replicas there will be when so many are recommended: no sudden falls, no leaps, and the bounds.
    fn calmed(&mut self, recommendation: usize) -> (usize, HpaReason) {
        let (now, before, rule) = (self.now, self.replicas, &self.rule);
        forget(&mut self.recommendations, now - rule.stabilisation_seconds);
        self.recommendations.push_back((now, recommendation));
        forget(&mut self.added, now - rule.more_seconds);
        if recommendation == before {
            return (before, HpaReason::NearTarget);
        }
        let (calm, reason) = if recommendation < before {
            let highest = self.recommendations.iter().map(|(_, replicas)| *replicas).max().unwrap_or(recommendation);
            let reason = if highest > recommendation { HpaReason::Stabilised } else { HpaReason::Recommended };
            (highest.min(before), reason)
        } else {
            let start = before.saturating_sub(self.added.iter().map(|(_, added)| added).sum());
            let most = (start + rule.more).max((start as f64 * rule.more_factor).ceil() as usize).max(before);
            let reason = if recommendation > most { HpaReason::ScaleUpLimit } else { HpaReason::Recommended };
            (recommendation.min(most), reason)
        };
        let bounded = calm.clamp(rule.fewest, rule.most);
        (bounded, if bounded == calm { reason } else { HpaReason::Bounds })
    }

    fn decided(
        &mut self,
        metric: Option<f64>,
        recommendation: usize,
        replicas: usize,
        reason: HpaReason,
    ) -> HpaDecision {
        let before = std::mem::replace(&mut self.replicas, replicas);
        if replicas > before {
            self.added.push_back((self.now, replicas - before));
        }
        HpaDecision { seconds: self.now, metric, recommendation, before, replicas, reason }
    }
}

/// Drops what is from `until` or before.
fn forget<T>(past: &mut VecDeque<(f64, T)>, until: f64) {
    while past.front().is_some_and(|(seconds, _)| *seconds <= until + ROUNDING) {
        past.pop_front();
    }
}
