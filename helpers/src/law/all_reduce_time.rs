//! How long an all-reduce takes, from the latency and the rate of the links.
//!
//! ```text
//! T(n) = a alpha + b n / W
//!
//!            a               b
//! central    2               2 (p - 1)           alpha   seconds before the first byte of a message arrives
//! tree       2 log2(p)       2 log2(p)           W       bytes that a link carries in a second
//! ring       2 (p - 1)       2 (p - 1) / p       p       workers, n bytes to sum
//! ```
//!
//! The model of a link is Hockney's (1994, "The communication challenge for MPP"): alpha + n beta for a message, with
//! beta = 1 / W. The coefficients are those of [`Algorithm::seconds`], where their sources stand. The fit finds beta, which
//! can be 0 when every message is too short to tell; W follows from it. Times span decades, and the fit is to their
//! logarithms, so that a millisecond counts as much as a second.
//!
//! ```
//! use onramp::communication::{Algorithm, Link};
//! use onramp::law::{AllReduceTime, Point, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! let points = [1e2, 1e4, 1e5, 1e6, 1e7].map(|bytes| {
//!     let seconds = Algorithm::Ring.seconds(&Link::lan(), 8, bytes);
//!     Point::new(bytes, Estimate::exact(seconds), Provenance::Replayed)
//! });
//! let found = fit(&AllReduceTime::new(Algorithm::Ring, 8)?, &points)?;
//! assert!((found.parameter("alpha")?.value / 100e-6 - 1.0).abs() < 1e-3);
//! assert!((found.derived("W")?.value / 125e6 - 1.0).abs() < 1e-3);
//!
//! // The same links with 16 workers and a tree.
//! let predicted = AllReduceTime::new(Algorithm::Tree, 16)?.predict(&found, 1e6)?;
//! assert!(predicted.contains(Algorithm::Tree.seconds(&Link::lan(), 16, 1e6)));
//! # Ok::<(), onramp::Error>(())
//! ```

use super::{Axes, Derived, Fit, Law, Parameter, Point, Symbol, weighted_line};
use crate::Error;
use crate::communication::{Algorithm, Link};
use crate::display::{chosen, significant};
use crate::measure::Estimate;

/// The law of this module for one algorithm and number of workers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AllReduceTime {
    algorithm: Algorithm,
    /// How often alpha counts.
    latencies: f64,
    /// How often n / W counts.
    passes: f64,
}

impl AllReduceTime {
    /// The time of `algorithm` among `world_size` workers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for fewer than 2 workers, which have nothing to sum.
    pub fn new(algorithm: Algorithm, world_size: usize) -> Result<AllReduceTime, Error> {
        if world_size < 2 {
            return Err(Error::InvalidInput(format!(
                "an all-reduce needs workers that differ, but the world size is {world_size}; use 2 or more"
            )));
        }
        // A link of 1 second and 1 byte per second: the time of 0 bytes is a, that of 1 byte a + b.
        let unit = Link::custom("unit", 1.0, 1.0)?;
        let latencies = algorithm.seconds(&unit, world_size, 0.0);
        Ok(AllReduceTime { algorithm, latencies, passes: algorithm.seconds(&unit, world_size, 1.0) - latencies })
    }

    /// Seconds to sum `bytes` by this algorithm and world size, over the links of `fit`, which may come from others.
    ///
    /// The interval goes from both numbers at their low ends to both at their high ends. Where one is too high the other
    /// tends to be too low, so it is rather too wide than too narrow.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `fit` is of another law, or `bytes` is not a number from 0 up.
    pub fn predict(&self, fit: &Fit, bytes: f64) -> Result<Estimate, Error> {
        if !(bytes.is_finite() && bytes >= 0.0) {
            return Err(Error::InvalidInput(format!(
                "{bytes} bytes can't be summed; use a number from 0 up, such as 1e6"
            )));
        }
        let (alpha, beta) = (fit.parameter("alpha")?, fit.parameter("beta")?);
        let median = self.value(&[alpha.value, beta.value], bytes);
        let (low, high) = (self.value(&[alpha.low, beta.low], bytes), self.value(&[alpha.high, beta.high], bytes));
        Ok(Estimate { median, low, high, samples: vec![median] })
    }

    /// The fitted latency and rate as a link, for a replay or an experiment.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `fit` is of another law, or its points don't determine W.
    pub fn link(fit: &Fit, name: &str) -> Result<Link, Error> {
        Link::custom(name, fit.parameter("alpha")?.value, fit.derived("W")?.value)
    }
}

impl Law for AllReduceTime {
    fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Central => "Time of an all-reduce, central",
            Algorithm::Tree => "Time of an all-reduce, tree",
            Algorithm::Ring => "Time of an all-reduce, ring",
        }
    }

    fn formula(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Central => "T(n) = 2 alpha + 2 (p - 1) n / W, W = 1 / beta",
            Algorithm::Tree => "T(n) = 2 log2(p) (alpha + n / W), W = 1 / beta",
            Algorithm::Ring => "T(n) = 2 (p - 1) alpha + 2 (p - 1) / p n / W, W = 1 / beta",
        }
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "alpha", unit: "s", meaning: "latency of a message" },
            Symbol { symbol: "beta", unit: "s per byte", meaning: "time of one more byte" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        const RATE: Symbol = Symbol { symbol: "W", unit: "bytes/s", meaning: "rate of a link" };
        &[Derived { symbol: RATE, value: |parameters| 1.0 / parameters[1], positive: true, on_x: false }]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "bytes to sum, n", y_label: "time of an all-reduce in s", log_y: true }
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        self.latencies * parameters[0] + self.passes * x * parameters[1]
    }

    /// A straight line in n, by relative distances.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let (intercept, slope) = weighted_line(points.iter().map(|point| (point.x, point.y.median)));
        let shortest = points.iter().map(|point| point.y.median).fold(f64::INFINITY, f64::min);
        let quickest = points.iter().map(|point| point.y.median / point.x).fold(f64::INFINITY, f64::min);
        let above = |value: f64, least: f64| if value.is_finite() { value.max(least) } else { least };
        vec![above(intercept, shortest / 100.0) / self.latencies, above(slope, quickest / 100.0) / self.passes]
    }

    fn remarks(&self, points: &[Point], parameters: &[Parameter]) -> Vec<String> {
        let (alpha, beta) = (&parameters[0], &parameters[1]);
        let sizes = points.iter().map(|point| point.x);
        let (least, most) = (sizes.clone().fold(f64::INFINITY, f64::min), sizes.fold(0.0, f64::max));
        if beta.low == 0.0 {
            return vec![format!(
                "Up to {} bytes the latency is all that shows, so W is only known to be above {} bytes/s. Measure larger n.",
                chosen(most),
                significant(1.0 / beta.high)
            )];
        }
        if alpha.low == 0.0 {
            return vec![format!(
                "From {} bytes up the rate is all that shows. Measure smaller n to see alpha.",
                chosen(least)
            )];
        }
        let balance = self.latencies * alpha.value / (self.passes * beta.value);
        vec![format!("Below {} bytes the latency takes more of the time than the bytes.", significant(balance))]
    }
}
