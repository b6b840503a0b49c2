//! How parameters follow their gradients: SGD with momentum, and AdamW, with what goes around them.
//!
//! With learning rate r, gradient g, parameter w and step number t from 1:
//!
//! ```text
//! SGD      g <- g + decay w;  m <- momentum m + g;  w <- w - r m
//! AdamW    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
//!          w <- w - r decay w - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
//! ```
//!
//! (Polyak 1964 in the form of PyTorch's `SGD`; Loshchilov and Hutter 2019, "Decoupled weight decay regularization".)
//! Before that the gradient may be clipped to a norm (Pascanu et al. 2013), and r follows a schedule.

use serde::{Deserialize, Serialize};

use super::OptimiserState;
use crate::error::{Error, Result};
use crate::model::Network;

/// A description of an optimiser; [`Optimiser::start`] makes the state that takes steps.
///
/// ```
/// use onramp::training::Optimiser;
///
/// let optimiser = Optimiser::adamw(1e-3).clip_norm(1.0).warm_up(10).cosine(100);
/// assert_eq!(optimiser.learning_rate_at(0), 1e-4);
/// assert_eq!(optimiser.learning_rate_at(10), 1e-3);
/// assert!(optimiser.learning_rate_at(99) < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimiser {
    pub(crate) rule: Rule,
    learning_rate: f64,
    pub(crate) weight_decay: f64,
    pub(crate) clip_norm: Option<f64>,
    warm_up: usize,
    cosine: Option<usize>,
}

/// What is done with a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    Sgd { momentum: f64 },
    AdamW { beta1: f64, beta2: f64, epsilon: f64 },
}

impl Optimiser {
    /// Plain gradient descent, w <- w - r g.
    pub fn sgd(learning_rate: f64) -> Self {
        let rule = Rule::Sgd { momentum: 0.0 };
        Self { rule, learning_rate, weight_decay: 0.0, clip_norm: None, warm_up: 0, cosine: None }
    }

    /// AdamW with PyTorch's defaults: b1 = 0.9, b2 = 0.999, epsilon = 1e-8, decay = 0.01.
    pub fn adamw(learning_rate: f64) -> Self {
        let rule = Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        Self { rule, weight_decay: 0.01, ..Self::sgd(learning_rate) }
    }

    /// How much of the last step is kept in the next one: SGD's momentum, or AdamW's b1. 0.9 is usual.
    pub fn momentum(mut self, share: f64) -> Self {
        match &mut self.rule {
            Rule::Sgd { momentum } => *momentum = share,
            Rule::AdamW { beta1, .. } => *beta1 = share,
        }
        self
    }

    /// How strongly parameters are drawn towards zero.
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.weight_decay = decay;
        self
    }

    /// Shortens the gradient of all variables together to this Euclidean length when it is longer.
    pub fn clip_norm(mut self, norm: f64) -> Self {
        self.clip_norm = Some(norm);
        self
    }

    /// Lets the learning rate rise in a line over the first steps.
    pub fn warm_up(mut self, steps: usize) -> Self {
        self.warm_up = steps;
        self
    }

    /// Lets the learning rate fall to zero along half a cosine, from the end of the warm-up to step `steps`.
    pub fn cosine(mut self, steps: usize) -> Self {
        self.cosine = Some(steps);
        self
    }

    /// The same with another learning rate.
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// The learning rate after so many steps.
    pub fn learning_rate_at(&self, steps: usize) -> f64 {
        if steps < self.warm_up {
            return self.learning_rate * (steps + 1) as f64 / self.warm_up as f64;
        }
        let Some(end) = self.cosine.filter(|end| *end > self.warm_up) else { return self.learning_rate };
        let share = (steps - self.warm_up) as f64 / (end - self.warm_up) as f64;
        self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
    }

    /// The state before the first step.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a learning rate or norm that is not above 0, a negative decay, a momentum that
    /// is not from 0 to below 1, or a cosine that ends within the warm-up.
    pub fn start(&self, network: &Network) -> Result<OptimiserState> {
        self.validate()?;
        OptimiserState::new(*self, network, network.device().is_cpu())
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let momentum = match self.rule {
            Rule::Sgd { momentum } => momentum,
            Rule::AdamW { beta1, .. } => beta1,
        };
        let above_zero = |value: f64| value.is_finite() && value > 0.0;
        let problem = if !above_zero(self.learning_rate) {
            format!("the learning rate is {}; use a number above 0, such as 0.1", self.learning_rate)
        } else if !(0.0..1.0).contains(&momentum) {
            format!("the momentum is {momentum}; use a number from 0 to below 1, such as 0.9")
        } else if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            format!("the weight decay is {}; use 0 or a small number, such as 0.01", self.weight_decay)
        } else if let Some(norm) = self.clip_norm.filter(|norm| !above_zero(*norm)) {
            format!("gradients can't be clipped to a norm of {norm}; use a number above 0, such as 1.0")
        } else if let Some(end) = self.cosine.filter(|end| *end <= self.warm_up) {
            format!("the cosine ends at step {end}, within the warm-up of {} steps; end it later", self.warm_up)
        } else {
            return Ok(());
        };
        Err(Error::invalid(problem))
    }
}
