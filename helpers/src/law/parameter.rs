//! One number of a fitted law, with its interval.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::least_squares::STEP;
use super::uncertainty::Uncertainty;
use super::{Derived, Symbol};
use crate::display::significant;
use crate::measure::Estimate;

/// A positive number whose interval reaches further than this factor to either side is not shown as determined.
const WIDEST_FACTOR: f64 = 100.0;

/// One number of a fitted law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its letter in the formula.
    pub symbol: String,
    /// Its unit; empty for a pure number.
    pub unit: String,
    /// What it stands for.
    pub meaning: String,
    /// The fitted value.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// True for a value of x, which figures mark.
    pub on_x: bool,
    /// What was expected before the run, if anybody computed it.
    pub predicted: Option<Predicted>,
}

/// A number computed before the run, to be compared with the fitted one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The expected value, with the interval that its ingredients give it.
    pub value: Estimate,
    /// How it was computed, as a formula.
    pub formula: String,
}

impl Parameter {
    /// How far the prediction and the fitted value are apart: 1 when equal, 2 when one is twice the other.
    /// None without a prediction, or when one of the two is not above zero.
    pub fn factor(&self) -> Option<f64> {
        let ratio = self.predicted.as_ref()?.value.median / self.value;
        (ratio.is_finite() && ratio > 0.0).then(|| ratio.max(1.0 / ratio))
    }

    /// The value with its interval, for a calculation that goes on with it.
    pub fn estimate(&self) -> Estimate {
        Estimate { median: self.value, low: self.low, high: self.high, samples: vec![self.value] }
    }

    /// A parameter of the formula; its interval ends at 0 and at `bound`, which the parameter can't pass.
    pub(super) fn fitted(symbol: &Symbol, value: f64, half_width: f64, bound: f64) -> Parameter {
        Parameter::new(symbol, value, (value - half_width).max(0.0), (value + half_width).min(bound))
    }

    /// A number that follows from the parameters, or the reason why the points don't determine it.
    pub(super) fn derived(derived: &Derived, parameters: &[f64], by: &Uncertainty) -> Result<Parameter, String> {
        let value = (derived.value)(parameters);
        let half = by.half_width(&gradient(derived.value, parameters));
        let name = derived.symbol.symbol;
        if !value.is_finite() || (derived.positive && value <= 0.0) {
            return Err(format!("{name} is not determined: the fitted parameters give no number above 0 for it."));
        }
        let found =
            |low: f64, high: f64| Parameter { on_x: derived.on_x, ..Parameter::new(&derived.symbol, value, low, high) };
        if !derived.positive {
            return Ok(found(value - half, value + half));
        }
        let factor = (half / value).exp();
        if factor <= WIDEST_FACTOR {
            return Ok(found(value / factor, value * factor));
        }
        Err(format!(
            "{name} is not determined: with these points its interval would reach from a {WIDEST_FACTOR:.0}th of the \
             fitted value to more than {WIDEST_FACTOR:.0} times it. Measure over a wider range of x."
        ))
    }

    fn new(symbol: &Symbol, value: f64, low: f64, high: f64) -> Parameter {
        Parameter {
            symbol: symbol.symbol.into(),
            unit: symbol.unit.into(),
            meaning: symbol.meaning.into(),
            value,
            low,
            high,
            on_x: false,
            predicted: None,
        }
    }
}

/// The number as people read it, followed by its unit if it has one.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    if unit.is_empty() { significant(value) } else { format!("{} {unit}", significant(value)) }
}

/// How `value` changes with each parameter.
fn gradient(value: fn(&[f64]) -> f64, parameters: &[f64]) -> DVector<f64> {
    DVector::from_fn(parameters.len(), |row, _| {
        let mut shifted = parameters.to_vec();
        let step = STEP * parameters[row].max(f64::MIN_POSITIVE / STEP);
        shifted[row] += step;
        (value(&shifted) - value(parameters)) / step
    })
}
