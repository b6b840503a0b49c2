//! How much more work gets done in the same time with more workers.
//!
//! ```text
//! S(N) = N - f (N - 1)  =  f + (1 - f) N
//! ```
//!
//! `S` is the scaled speed-up over one worker, `N` the number of workers, and `f` the serial share of the time of the
//! *parallel* run. The work grows with `N` (weak scaling), and only its parallel part does; for a job that stays the same
//! see [`super::Amdahl`], whose `f` is a share of one worker's time and so another number.
//!
//! (Gustafson 1988, "Reevaluating Amdahl's law".)
//!
//! ```
//! use onramp::law::{Amdahl, Gustafson, Law};
//!
//! // 5 % serial time and 32 workers: little is lost when the work grows along, much when it stays the same.
//! assert!((Gustafson.value(&[0.05], 32.0) - 30.45).abs() < 1e-9);
//! assert!((Amdahl.value(&[0.05], 32.0) - 12.55).abs() < 0.01);
//! ```

use super::workers::{refuse_parts_of_a_worker, retrograde, super_linear};
use super::{Axes, Derived, Law, Parameter, Point, Symbol};
use crate::Error;

/// The law of this module: the scaled speed-up of work that grows with the number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gustafson;

impl Law for Gustafson {
    fn name(&self) -> &'static str {
        "Gustafson's law"
    }

    fn formula(&self) -> &'static str {
        "S(N) = N - f (N - 1)"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[Symbol { symbol: "f", unit: "", meaning: "serial share of the parallel run's time" }]
    }

    fn derived(&self) -> &'static [Derived] {
        &[]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "workers, N", y_label: "scaled speed-up over one worker", log_y: true }
    }

    fn upper_bound(&self, _place: usize) -> f64 {
        1.0
    }

    fn check(&self, points: &[Point]) -> Result<(), Error> {
        refuse_parts_of_a_worker(points)
    }

    /// One worker is as fast as one worker, whatever f is.
    fn informs(&self, x: f64) -> bool {
        x != 1.0
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        x - parameters[0] * (x - 1.0)
    }

    /// Each point gives an f of its own; the start is their mean.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let share = |point: &Point| (point.x - point.y.median) / (point.x - 1.0);
        vec![(points.iter().map(share).sum::<f64>() / points.len() as f64).clamp(1e-4, 0.9)]
    }

    fn remarks(&self, points: &[Point], _parameters: &[Parameter]) -> Vec<String> {
        super_linear(points).into_iter().chain(retrograde(points)).collect()
    }
}
