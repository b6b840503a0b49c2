//! Latency against the rate of requests, for one server.
//!
//! ```text
//! W(lambda) = s + lambda s^2 (1 + C^2) / (2 (1 - lambda s))
//! ```
//!
//! The formula of [`super::Queue`] as a curve over the rate, whose two parameters are fitted: the service time `s` and the
//! squared coefficient of variation `C^2`. The curve ends at the capacity `mu = 1 / s`, where the line grows for ever.
//!
//! ```
//! use onramp::law::{Law, Point, PollaczekKhinchine, Queue, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! let points: Vec<Point> = [20.0, 60.0, 100.0, 140.0, 180.0]
//!     .into_iter()
//!     .map(|rate| {
//!         let mean = Queue::m_d_1(rate, 0.005).unwrap().sojourn_seconds();
//!         Point::new(rate, Estimate::exact(mean), Provenance::Emulated)
//!     })
//!     .collect();
//! let law = fit(&PollaczekKhinchine, &points)?;
//! assert!((law.parameter("s")?.value - 0.005).abs() < 1e-5);
//! assert!((law.derived("mu")?.value - 200.0).abs() < 0.5);
//! # Ok::<(), onramp::Error>(())
//! ```

use super::{Axes, Derived, Law, Point, Symbol};

/// From this load on the curve goes on as a straight line, so that a fit can leave it again.
const STEEPEST: f64 = 0.9999;

/// The law of this module: mean latency against requests per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollaczekKhinchine;

impl Law for PollaczekKhinchine {
    fn name(&self) -> &'static str {
        "Law of Pollaczek and Khinchine"
    }

    fn formula(&self) -> &'static str {
        "W(lambda) = s + lambda s^2 (1 + C^2) / (2 (1 - lambda s))"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "s", unit: "s", meaning: "mean service time" },
            Symbol { symbol: "C^2", unit: "", meaning: "variance of the service time over its squared mean" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        const CAPACITY: Symbol =
            Symbol { symbol: "mu", unit: "requests/s", meaning: "rate at which the line grows for ever" };
        &[Derived { symbol: CAPACITY, value: |parameters| 1.0 / parameters[0], positive: true, on_x: true }]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "requests per second, lambda", y_label: "mean latency in seconds, W", log_y: true }
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        let (service, variation) = (parameters[0], parameters[1]);
        let load = x * service;
        let waits = if load < STEEPEST {
            load / (1.0 - load)
        } else {
            STEEPEST / (1.0 - STEEPEST) + (load - STEEPEST) / (1.0 - STEEPEST).powi(2)
        };
        service + waits * service * (1.0 + variation) / 2.0
    }

    /// A lone request only takes its service, and no rate that was reached is beyond the capacity.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let quickest = points.iter().map(|point| point.y.median).fold(f64::INFINITY, f64::min);
        let fastest = points.iter().map(|point| point.x).fold(0.0, f64::max);
        vec![quickest.min(0.95 / fastest), 0.5]
    }
}
