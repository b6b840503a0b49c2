//! Whether a law holds for the points that it was fitted to.

use super::parameter::with_unit;
use super::{Parameter, Point};
use crate::display::{chosen, significant};

/// How far a point may lie from the curve, as a share, before the law is said not to hold there. A point whose
/// interval is wider than that is judged by its interval.
pub const TOLERANCE: f64 = 0.10;

/// True when the curve lies outside the point's interval and further than [`TOLERANCE`] from its median.
pub(super) fn disagrees(point: &Point, curve: f64) -> bool {
    !point.y.contains(curve) && (curve / point.y.median - 1.0).abs() > TOLERANCE
}

/// One sentence that says whether the law holds, and if not, where it fails by how much.
pub(super) fn judgement(count: usize, far: &[&Point], curve_at: impl Fn(f64) -> f64) -> String {
    let tolerance = TOLERANCE * 100.0;
    if far.is_empty() {
        return format!(
            "The law holds here: the curve passes within {tolerance:.0} % of each of the {count} points, or through its interval."
        );
    }
    let misses: Vec<String> = far
        .iter()
        .map(|point| {
            let curve = significant(curve_at(point.x));
            format!("at x = {} the curve says {curve}, the measurement {}", chosen(point.x), point.y)
        })
        .collect();
    format!(
        "The law does NOT hold here: {} of {count} points lie more than {tolerance:.0} % off the curve and outside their \
         intervals ({}). Don't trust the parameters; something that the law leaves out matters on this machine.",
        far.len(),
        misses.join("; ")
    )
}

/// Says that a parameter's interval reaches down to zero.
pub(super) fn undetermined(parameter: &Parameter) -> String {
    format!(
        "{} can't be told from 0 with these points: its interval reaches up to {}.",
        parameter.symbol,
        with_unit(parameter.high, &parameter.unit)
    )
}

/// Says that a parameter's interval reaches up to the largest value that the law allows.
pub(super) fn at_bound(parameter: &Parameter, bound: f64) -> String {
    format!(
        "{} can't be told from {}, the largest value that it can have: its interval reaches down to {}.",
        parameter.symbol,
        chosen(bound),
        with_unit(parameter.low, &parameter.unit)
    )
}

/// Share of the variance of ln y that the curve explains.
pub(super) fn r_squared(points: &[Point], residuals: &[f64]) -> f64 {
    let mean = points.iter().map(|point| point.y.median.ln()).sum::<f64>() / points.len() as f64;
    let total: f64 = points.iter().map(|point| (point.y.median.ln() - mean).powi(2)).sum();
    let left: f64 = residuals.iter().map(|residual| residual * residual).sum();
    if total > 0.0 { 1.0 - left / total } else { 0.0 }
}
