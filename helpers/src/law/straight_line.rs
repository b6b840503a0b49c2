//! How long a training step takes.
//!
//! ```text
//! t(b) = s0 + b / r
//! ```
//!
//! A step over `b` rows pays a fixed cost `s0` (allocating, starting threads, updating the weights) and then works
//! at `r` rows per second. A network that needs k P floating-point operations for a row computes at C = r k P
//! operations per second. The fit weighs *relative* distances, so that a step of 1 ms counts as much as one of 100 ms.
//!
//! ```
//! use onramp::law::{Point, StraightLine, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! let points: Vec<Point> = [8.0, 32.0, 128.0, 512.0]
//!     .into_iter()
//!     .map(|rows| Point::new(rows, Estimate::exact(0.000_4 + rows / 50_000.0), Provenance::Measured))
//!     .collect();
//! let line = fit(&StraightLine, &points)?;
//! assert!((line.parameter("s0")?.value - 0.000_4).abs() < 1e-6);
//! assert!((line.parameter("r")?.value - 50_000.0).abs() < 50.0);
//! # Ok::<(), onramp::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::least_squares::weighted_line;
use super::{Axes, Derived, Law, Point, Symbol};

/// The law of this module: step time against rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StraightLine;

impl Law for StraightLine {
    fn name(&self) -> &'static str {
        "Straight line"
    }

    fn formula(&self) -> &'static str {
        "t(b) = s0 + b / r"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "s0", unit: "s", meaning: "fixed cost of a step" },
            Symbol { symbol: "r", unit: "rows/s", meaning: "rows per second beyond the fixed cost" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        &[]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "rows in a step, b", y_label: "step time in s", log_y: true }
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        parameters[0] + x / parameters[1]
    }

    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let (intercept, slope) = weighted_line(points.iter().map(|point| (point.x, point.y.median)));
        let fastest = points.iter().map(|point| point.y.median).fold(f64::INFINITY, f64::min);
        let most_rows_per_second = points.iter().map(|point| point.x / point.y.median).fold(0.0, f64::max);
        let rows_per_second = 1.0 / slope;
        vec![
            intercept.max(fastest / 100.0),
            if rows_per_second.is_finite() && rows_per_second > 0.0 { rows_per_second } else { most_rows_per_second },
        ]
    }
}
