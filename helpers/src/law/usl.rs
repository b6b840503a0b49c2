//! Throughput that rises, levels off, and falls again when there are more and more workers.
//!
//! ```text
//! X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1))          peak at  N* = sqrt((1 - sigma) / kappa)
//! ```
//!
//! `X` is the throughput of `N` workers and lambda that of one. Two costs grow with `N`: contention, sigma, is waiting in
//! line for something shared; coherency, kappa, is each worker talking to each other, N (N - 1) talks in all. Without
//! kappa this is Amdahl's law with f = sigma: it levels off at lambda / sigma. With kappa there is a peak, X* at N*, and
//! every worker beyond it makes the whole slower.
//!
//! (The universal scalability law: Gunther 2007, *Guerrilla Capacity Planning*. The R package usl, by Gunther and Möding,
//! calls the three gamma, alpha and beta.)
//!
//! ```
//! use onramp::law::{Point, Usl, fit};
//! use onramp::measure::{Estimate, Provenance};
//!
//! // A Sun SPARCcenter 2000 in the benchmark SPEC SDM91: scripts per hour against the number of users.
//! let published = [(1.0, 64.9), (18.0, 995.9), (36.0, 1652.4), (72.0, 1853.2), (108.0, 1828.9), (144.0, 1775.0), (216.0, 1702.2)];
//! let points = published.map(|(users, scripts)| Point::new(users, Estimate::exact(scripts), Provenance::Published));
//! let law = fit(&Usl, &points)?;
//! assert!(law.holds);
//! let peak = law.derived("N*")?;
//! assert!(peak.low < 96.5 && 96.5 < peak.high); // 96.5 users: the peak of the published parameters
//! # Ok::<(), onramp::Error>(())
//! ```

use nalgebra::{DMatrix, DVector};

use super::workers::refuse_parts_of_a_worker;
use super::{Axes, Derived, Law, Parameter, Point, Symbol};
use crate::Error;
use crate::display::{chosen, significant};

/// The universal scalability law of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usl;

impl Law for Usl {
    fn name(&self) -> &'static str {
        "Universal scalability law"
    }

    fn formula(&self) -> &'static str {
        "X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)), peak at N* = sqrt((1 - sigma) / kappa)"
    }

    fn parameters(&self) -> &'static [Symbol] {
        &[
            Symbol { symbol: "lambda", unit: "", meaning: "throughput of one worker, in the unit of the points" },
            Symbol { symbol: "sigma", unit: "", meaning: "contention: waiting for something shared" },
            Symbol { symbol: "kappa", unit: "", meaning: "coherency: each worker talking to each other" },
        ]
    }

    fn derived(&self) -> &'static [Derived] {
        const PLACE: Symbol = Symbol { symbol: "N*", unit: "workers", meaning: "workers at the peak" };
        const HEIGHT: Symbol = Symbol { symbol: "X*", unit: "", meaning: "throughput at the peak" };
        &[
            Derived { symbol: PLACE, value: peak, positive: true, on_x: true },
            Derived { symbol: HEIGHT, value: |p| throughput(p, peak(p)), positive: true, on_x: false },
        ]
    }

    fn axes(&self) -> Axes {
        Axes { x_label: "workers, N", y_label: "throughput", log_y: true }
    }

    /// Sigma is a share.
    fn upper_bound(&self, place: usize) -> f64 {
        if place == 1 { 1.0 } else { f64::INFINITY }
    }

    fn check(&self, points: &[Point]) -> Result<(), Error> {
        refuse_parts_of_a_worker(points)
    }

    fn value(&self, parameters: &[f64], x: f64) -> f64 {
        throughput(parameters, x)
    }

    /// N / X is a straight line in N - 1 and N (N - 1), fitted by relative distances.
    fn guess(&self, points: &[Point]) -> Vec<f64> {
        let row = |point: &Point| (point.y.median / point.x, point.x - 1.0);
        let columns = DMatrix::from_fn(points.len(), 3, |place, column| {
            let (weight, others) = row(&points[place]);
            weight * [1.0, others, others * points[place].x][column]
        });
        let solution = columns.svd(true, true).solve(&DVector::from_element(points.len(), 1.0), 1e-12);
        let line = solution.map_or(vec![0.0; 3], |solution| solution.iter().copied().collect());
        let fastest = points.iter().map(|point| row(point).0).fold(0.0, f64::max);
        let largest = points.iter().map(|point| point.x).fold(1.0, f64::max);
        let lambda = if line[0] > 0.0 { 1.0 / line[0] } else { fastest };
        vec![lambda, (line[1] * lambda).clamp(1e-3, 0.9), (line[2] * lambda).clamp(1e-3 / largest.powi(2), 1.0)]
    }

    fn remarks(&self, points: &[Point], parameters: &[Parameter]) -> Vec<String> {
        let (sigma, kappa) = (&parameters[1], &parameters[2]);
        let largest = points.iter().map(|point| point.x).fold(0.0, f64::max);
        if kappa.low == 0.0 {
            let nearest = ((1.0 - sigma.value) / kappa.high).sqrt();
            return vec![format!(
                "Whether there is a peak is not determined; if so, it lies at roughly {} workers or more. Measure with more \
                 than {} workers to see it.",
                significant(nearest),
                chosen(largest)
            )];
        }
        let place = ((1.0 - sigma.value) / kappa.value).sqrt();
        if place > largest {
            return vec![format!(
                "N* = {} lies beyond the largest measured N = {}: it is extrapolated. Measure with more workers to see it.",
                significant(place),
                chosen(largest)
            )];
        }
        if place < 1.0 {
            return vec!["The peak lies at one worker: every further worker makes the whole slower.".into()];
        }
        Vec::new()
    }
}

fn throughput(parameters: &[f64], workers: f64) -> f64 {
    let others = workers - 1.0;
    parameters[0] * workers / (1.0 + parameters[1] * others + parameters[2] * workers * others)
}

/// Where the throughput is highest; below 1 where a second worker only costs.
fn peak(parameters: &[f64]) -> f64 {
    ((1.0 - parameters[1]).max(0.0) / parameters[2]).sqrt()
}
