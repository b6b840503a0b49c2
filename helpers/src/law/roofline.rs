//! How fast a machine can compute, given how much it computes with each byte.
//!
//! ```text
//! R(I) = min(P, I B)          ridge point  I* = P / B
//! ```
//!
//! `I` is the operational intensity of a computation, its floating-point operations per byte that it moves to or from
//! memory; `P` the machine's peak in operations per second and `B` its memory bandwidth in bytes per second. Left of the
//! ridge point a computation waits for memory, right of it for arithmetic. The law is an upper limit: fit it to
//! computations that reach it, such as a copy and a large matrix product, then hold other runs against the
//! [`super::Roof`] that comes out.
//!
//! (Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model for multicore architectures".)
//!
//! ```
//! use onramp::law::{Law, Roofline};
//!
//! // The paper's Opteron X2: 17.6 billion operations per second, 15 GB/s.
//! let opteron = [17.6e9, 15e9];
//! assert_eq!(Roofline.value(&opteron, 0.5), 7.5e9);
//! assert_eq!(Roofline.value(&opteron, 16.0), 17.6e9);
//! ```

use super::{Axes, Derived, Law, Parameter, Point, Symbol};

/// Fewest points on each side of the ridge point that let a reader trust that side.
const FEWEST_ON_A_SIDE: usize = 2;

/// The law of this module: operations per second against operations per byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roofline;

impl Law for Roofline {
    fn name(&self) -> &'static str {
        "Roofline"
    }

    fn formula(&self) -> &'static str {
        "R(I) = min(P, I B), ridge point at I* = P / B"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "P", unit: "operations/s", meaning: "peak of the arithmetic" },
            Symbol { symbol: "B", unit: "bytes/s", meaning: "memory bandwidth" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        const RIDGE: Symbol = Symbol { symbol: "I*", unit: "operations/byte", meaning: "ridge point" };
        &[Derived { symbol: RIDGE, value: |parameters| parameters[0] / parameters[1], positive: true, on_x: true }]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "operational intensity, operations/byte", y_label: "operations/s", log_y: true }
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        parameters[0].min(x * parameters[1])
    }

    /// The highest point, and the steepest line from the origin to a point.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let highest = points.iter().map(|point| point.y.median).fold(0.0, f64::max);
        let steepest = points.iter().map(|point| point.y.median / point.x).fold(0.0, f64::max);
        vec![highest, steepest]
    }

    fn remarks(&self, points: &[Point], parameters: &[Parameter]) -> Vec<String> {
        let ridge = parameters[0].value / parameters[1].value;
        let left = points.iter().filter(|point| point.x < ridge).count();
        let sides = [(left, "left", "B", "smaller"), (points.len() - left, "right", "P", "larger")];
        let bare = sides.into_iter().filter(|(count, ..)| *count < FEWEST_ON_A_SIDE);
        bare.map(|(count, side, symbol, intensity)| {
            format!(
                "{symbol} rests on {count} point{} {side} of the ridge point: measure computations of {intensity} intensity.",
                if count == 1 { "" } else { "s" }
            )
        })
        .collect()
    }
}
