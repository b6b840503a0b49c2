//! How an error falls with more data, parameters or computing, down to a floor.
//!
//! ```text
//! y(x) = a x^-b + c          c >= 0
//! ```
//!
//! On logarithmic axes `a x^-b` is a straight line of slope -b; the floor `c`, which no amount of x removes, bends it.
//! With exponents as small as they are, x has to grow by `x_half = 2^(1/b)` to halve what is left above the floor.
//!
//! | source | x | a | b | c |
//! |---|---|---|---|---|
//! | Kaplan et al. 2020, "Scaling laws for neural language models" | parameters | (8.8e13)^0.076 | 0.076 | 0 |
//! | Hoffmann et al. 2022, "Training compute-optimal large language models" | parameters | 406.4 | 0.34 | 1.69 |
//! | the same | training tokens | 410.7 | 0.28 | 1.69 |
//!
//! (The form: Hestness et al. 2017, "Deep learning scaling is predictable, empirically". Hoffmann's floor is that of their
//! sum of both terms, with the other one gone.)
//!
//! The floor is the hard part: points that don't come near it can't tell it from 0, and a floor that is left out makes
//! the exponent too small. The notes of a fit say so.
//!
//! ```
//! use onramp::law::{Point, PowerLaw, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! let points = [1e5, 1e6, 1e7, 1e8, 1e9, 1e10].map(|parameters: f64| {
//!     let loss = 406.4 * parameters.powf(-0.34) + 1.69;
//!     Point::new(parameters, Estimate::exact(loss), Provenance::Published)
//! });
//! let law = fit(&PowerLaw::new("parameters", "loss"), &points)?;
//! assert!((law.parameter("b")?.value - 0.34).abs() < 1e-3);
//! assert!((law.parameter("c")?.value - 1.69).abs() < 1e-2);
//! # Ok::<(), onramp::Error>(())
//! ```

use super::{Axes, Derived, Law, Parameter, Point, Symbol};
use crate::display::{chosen, significant};

/// Floors from which the search may start, as shares of the lowest point.
const FLOORS: [f64; 5] = [0.0, 0.5, 0.8, 0.95, 0.99];

/// A floor whose interval is wider than this share of the lowest point says little.
const WIDE_FLOOR: f64 = 0.5;

/// The law of this module, with the names of its axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerLaw {
    x_label: &'static str,
    y_label: &'static str,
}

impl PowerLaw {
    /// The law for what falls, such as a loss, against what grows, such as the number of training examples.
    pub fn new(x_label: &'static str, y_label: &'static str) -> PowerLaw {
        PowerLaw { x_label, y_label }
    }
}

impl Law for PowerLaw {
    fn name(&self) -> &'static str {
        "Power law with a floor"
    }

    fn formula(&self) -> &'static str {
        "y(x) = a x^-b + c"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "a", unit: "", meaning: "what lies above the floor at x = 1" },
            Symbol { symbol: "b", unit: "", meaning: "exponent: the slope on logarithmic axes" },
            Symbol { symbol: "c", unit: "", meaning: "floor that no x removes" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        const HALVING: Symbol =
            Symbol { symbol: "x_half", unit: "", meaning: "growth of x that halves what lies above the floor" };
        &[Derived { symbol: HALVING, value: |parameters| (1.0 / parameters[1]).exp2(), positive: true, on_x: false }]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: self.x_label, y_label: self.y_label, log_y: true }
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        parameters[0] * x.powf(-parameters[1]) + parameters[2]
    }

    /// With the floor taken off, ln y is a straight line in ln x; of a few floors, the one with the straightest line.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let lowest = points.iter().map(|point| point.y.median).fold(f64::INFINITY, f64::min);
        let candidate = |share: f64| {
            let floor = share * lowest;
            let (intercept, slope) = line(points.iter().map(|point| (point.x.ln(), (point.y.median - floor).ln())));
            let found = vec![intercept.exp(), (-slope).max(1e-3), floor.max(1e-3 * lowest)];
            let misses = points.iter().map(|point| (self.value(&found, point.x) / point.y.median).ln().powi(2));
            (misses.sum::<f64>(), found)
        };
        let usable = |found: &[f64]| found.iter().all(|value| value.is_finite() && *value > 0.0);
        let candidates = FLOORS.into_iter().map(candidate).filter(|(_, found)| usable(found));
        candidates
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .map_or(vec![lowest, 0.1, 0.5 * lowest], |(_, best)| best)
    }

    fn remarks(&self, points: &[Point], parameters: &[Parameter]) -> Vec<String> {
        let (exponent, floor) = (&parameters[1], &parameters[2]);
        let largest = points.iter().map(|point| point.x).fold(0.0, f64::max);
        let lowest = points.iter().map(|point| point.y.median).fold(f64::INFINITY, f64::min);
        if exponent.low == 0.0 {
            return vec!["With an exponent of 0 nothing falls: these points don't show that more x helps.".into()];
        }
        if floor.low == 0.0 {
            return vec![format!(
                "The floor is not determined: a line without any floor, y = a x^-b, fits these points too. Measure beyond \
                 x = {} to see it, and don't extrapolate.",
                chosen(largest)
            )];
        }
        if floor.high - floor.low > WIDE_FLOOR * lowest {
            return vec![format!(
                "The floor is only known to lie between {} and {}. Measure beyond x = {} to see it better.",
                significant(floor.low),
                significant(floor.high),
                chosen(largest)
            )];
        }
        Vec::new()
    }
}

/// Intercept and slope of the straight line with the least squares.
fn line(points: impl Iterator<Item = (f64, f64)> + Clone) -> (f64, f64) {
    let count = points.clone().count() as f64;
    let (x_sum, y_sum) = points.clone().fold((0.0, 0.0), |(x_sum, y_sum), (x, y)| (x_sum + x, y_sum + y));
    let (x_mean, y_mean) = (x_sum / count, y_sum / count);
    let (products, squares) = points.fold((0.0, 0.0), |(products, squares), (x, y)| {
        (products + (x - x_mean) * (y - y_mean), squares + (x - x_mean).powi(2))
    });
    let slope = products / squares;
    (y_mean - slope * x_mean, slope)
}
