//! How much work per worker pays for the talking between workers.
//!
//! ```text
//! e(b) = (b + b0) / (b + b0 + bT)          one half at  b* = bT - b0
//! ```
//!
//! `b` is the number of rows that each worker computes in one step, and `e` the share of the step that is spent
//! on computing instead of waiting for the all-reduce. It follows from two times: a
//! lone worker's step takes `s0 + b / r` seconds (`s0` fixed, `r` rows per second), and in company
//! the all-reduce adds `T` seconds. Their share is
//!
//! ```text
//! e = (s0 + b/r) / (s0 + b/r + T)          multiply by r:  b0 = s0 r,  bT = T r
//! ```
//!
//! So `b0` is the fixed cost of a step and `bT` the cost of the all-reduce, both told in rows. For a
//! network whose row costs F operations, `r = C / F`: the half lies at `b* = (T - s0) C / F`, which can be computed
//! from the machine and the link before any run. The form is Hockney's half-performance
//! length n½ (Hockney and Jesshope, *Parallel Computers*, 1981), told for rows instead of vector elements.
//!
//! ```
//! use onramp::law::{HalfEfficiency, Law, Point, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! let points: Vec<Point> = [8.0, 32.0, 128.0, 512.0, 2048.0]
//!     .into_iter()
//!     .map(|b| Point::new(b, Estimate::exact((b + 20.0) / (b + 20.0 + 800.0)), Provenance::Replayed))
//!     .collect();
//! let law = fit(&HalfEfficiency, &points)?;
//! let half = law.derived("b*")?.value;
//! assert!((half - 780.0).abs() < 1.0);
//! assert!((HalfEfficiency.value(&[20.0, 800.0], half) - 0.5).abs() < 1e-3);
//! # Ok::<(), onramp::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::least_squares::weighted_line;
use super::{Axes, Derived, Law, Parameter, Point, Symbol};
use crate::display::{chosen, significant};

/// The law of this module: efficiency against rows per worker, with its half at `b*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfEfficiency;

impl Law for HalfEfficiency {
    fn name(&self) -> &'static str {
        "Half-efficiency law"
    }

    fn formula(&self) -> &'static str {
        "e(b) = (b + b0) / (b + b0 + bT), one half at b* = bT - b0"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "b0", unit: "rows", meaning: "fixed cost of a step, in rows" },
            Symbol { symbol: "bT", unit: "rows", meaning: "cost of the all-reduce, in rows" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        const HALF: Symbol =
            Symbol { symbol: "b*", unit: "rows", meaning: "rows per worker at which half of the step is computing" };
        &[Derived { symbol: HALF, value: |parameters| parameters[1] - parameters[0], positive: false, on_x: true }]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "rows per worker and step, b", y_label: "efficiency, share of the step", log_y: false }
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        let work = x + parameters[0];
        work / (work + parameters[1])
    }

    /// The odds `e / (1 - e) = (b + b0) / bT` are a straight line in `b`.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let odds = points.iter().map(|point| {
            let e = point.y.median.clamp(1e-3, 1.0 - 1e-3);
            (point.x, e / (1.0 - e))
        });
        let (intercept, slope) = weighted_line(odds);
        let first = points.iter().map(|point| point.x).fold(f64::INFINITY, f64::min);
        let rows = |value: f64| if value.is_finite() { value.max(first / 100.0) } else { first };
        vec![rows(intercept / slope), rows(1.0 / slope)]
    }

    fn remarks(&self, points: &[Point], parameters: &[Parameter]) -> Vec<String> {
        let half = parameters[1].value - parameters[0].value;
        let largest = points.iter().map(|point| point.x).fold(0.0, f64::max);
        if half <= 0.0 {
            return vec![format!(
                "b* is {}, not above 0: the fixed cost of a step already outweighs the all-reduce, so the efficiency is \
                 above one half for any number of rows.",
                significant(half)
            )];
        }
        if half > largest {
            return vec![format!(
                "b* = {} lies beyond the largest measured b = {}: it is extrapolated. Measure with more rows per worker \
                 to see it.",
                significant(half),
                chosen(largest)
            )];
        }
        Vec::new()
    }
}
