//! How much faster a job of fixed size gets with more workers.
//!
//! ```text
//! S(N) = 1 / (f + (1 - f) / N)          never above  S_max = 1 / f
//! ```
//!
//! `S` is the speed-up over one worker, `N` the number of workers, and `f` the serial share: the part of one worker's time
//! that can't be divided. The job stays the same for every `N` (strong scaling); where it grows with `N`, see
//! [`super::Gustafson`]. The law only ever rises: it knows nothing of workers that wait for each other.
//!
//! (Amdahl 1967, "Validity of the single processor approach to achieving large scale computing capabilities".)
//!
//! ```
//! use onramp::law::{Amdahl, Law, Point, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! // 5 % serial work: 32 workers are 12.5 times as fast as one, and no number of them 20 times.
//! assert!((Amdahl.value(&[0.05], 32.0) - 12.55).abs() < 0.01);
//!
//! let points: Vec<Point> = [(1.0, 1.0), (2.0, 1.90), (4.0, 3.48), (8.0, 5.93), (16.0, 9.14)]
//!     .into_iter()
//!     .map(|(workers, speed_up)| Point::new(workers, Estimate::exact(speed_up), Provenance::Measured))
//!     .collect();
//! let law = fit(&Amdahl, &points)?;
//! assert!((law.parameter("f")?.value - 0.05).abs() < 0.001);
//! assert!((law.derived("S_max")?.value - 20.0).abs() < 0.2);
//! # Ok::<(), onramp::Error>(())
//! ```

use super::workers::{refuse_parts_of_a_worker, retrograde, super_linear};
use super::{Axes, Derived, Law, Parameter, Point, Symbol};
use crate::Error;

/// The law of this module: the speed-up of a job of fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amdahl;

impl Law for Amdahl {
    fn name(&self) -> &'static str {
        "Amdahl's law"
    }

    fn formula(&self) -> &'static str {
        "S(N) = 1 / (f + (1 - f) / N)"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[Symbol { symbol: "f", unit: "", meaning: "serial share of one worker's time" }]
    }

    fn derived(&self) -> &'static [Derived] {
        const LIMIT: Symbol =
            Symbol { symbol: "S_max", unit: "", meaning: "speed-up that no number of workers passes" };
        &[Derived { symbol: LIMIT, value: |parameters| 1.0 / parameters[0], positive: true, on_x: false }]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "workers, N", y_label: "speed-up over one worker", log_y: true }
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
        let serial = parameters[0];
        1.0 / (serial + (1.0 - serial) / x)
    }

    /// Each point gives an f of its own (Karp and Flatt 1990, "Measuring parallel processor performance"); the start is
    /// their mean.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let share = |point: &Point| (1.0 / point.y.median - 1.0 / point.x) / (1.0 - 1.0 / point.x);
        vec![(points.iter().map(share).sum::<f64>() / points.len() as f64).clamp(1e-4, 0.9)]
    }

    fn remarks(&self, points: &[Point], _parameters: &[Parameter]) -> Vec<String> {
        super_linear(points).into_iter().chain(retrograde(points)).collect()
    }
}
