//! Finding a law's parameters, and how sure they are.
//!
//! The curve is fitted to the logarithms of the points, so that a factor of two counts the same at
//! 1 % and at 90 %, and each point weighs by how well it was measured:
//!
//! ```text
//! minimise  sum_i ( (ln f(x_i) - ln y_i) / sigma_i )^2          sigma_i from the interval of y_i
//! ```
//!
//! with the Levenberg-Marquardt method (Moré, 1978). The intervals come from the covariance of
//! the parameters and Student's t; see `uncertainty.rs`.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt, TerminationReason};
use nalgebra::{DMatrix, DVector, Dyn, Owned};

use super::agreement::{disagrees, judgement};
use super::uncertainty::Uncertainty;
use super::{Fit, Law, Point};
use crate::Error;
use crate::display::chosen;

/// No law here is exact beyond this share, so a point counts no more than if it were measured this well.
const SIGMA_FLOOR: f64 = 0.01;

/// Standard deviations from the middle of a 95 % interval to its end.
const SIGMAS_TO_END: f64 = 1.96;

/// Points needed beyond one for each parameter.
const SPARE_POINTS: usize = 2;

/// Relative step of the numerical derivatives.
pub(super) const STEP: f64 = 1e-6;

/// Fits `law` to `points`.
///
/// # Errors
/// [`Error::TooFewPoints`] with fewer different `x` than parameters + 2, [`Error::InvalidInput`] for a point that
/// is not above zero and finite or has no meaning in the law, or when the points don't determine the parameters.
pub fn fit(law: &dyn Law, points: &[Point]) -> Result<Fit, Error> {
    refuse_bad_points(points)?;
    law.check(points)?;
    let (telling, silent): (Vec<Point>, Vec<Point>) = points.iter().cloned().partition(|point| law.informs(point.x));
    refuse_few_points(law, &telling, &silent)?;
    let problem = Problem::new(law, &telling);
    let (problem, report) =
        LevenbergMarquardt::new().with_ftol(1e-12).with_xtol(1e-10).with_patience(200).minimize(problem);
    let arrived = report.termination.was_successful()
        || matches!(report.termination, TerminationReason::NoImprovementPossible(_));
    let parameters = problem.natural();
    if !arrived || parameters.iter().any(|value| !value.is_finite()) {
        return Err(Error::InvalidInput(format!(
            "{} could not be fitted to these {} points ({:?}); plot them and check that they have the law's shape",
            law.formula(),
            points.len(),
            report.termination
        )));
    }
    let uncertainty = Uncertainty::of(&problem, &parameters).map_err(|undetermined| {
        let curve_at = |x: f64| law.value(&parameters, x);
        let far: Vec<&Point> = points.iter().filter(|point| disagrees(point, curve_at(point.x))).collect();
        if far.is_empty() {
            return undetermined;
        }
        Error::InvalidInput(format!("{undetermined}. {}", judgement(points.len(), &far, curve_at)))
    })?;
    Ok(Fit::assemble(law, points, &parameters, &uncertainty))
}

/// Intercept and slope of the straight line through `(x, y)` that minimises relative distances (weights 1/y²).
pub(crate) fn weighted_line(points: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in points {
        let weight = 1.0 / (y * y);
        w += weight;
        wx += weight * x;
        wy += weight * y;
        wxx += weight * x * x;
        wxy += weight * x * y;
    }
    let slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
    ((wy - slope * wx) / w, slope)
}

fn refuse_bad_points(points: &[Point]) -> Result<(), Error> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    match points.iter().find(|point| !usable(point.x) || !usable(point.y.median)) {
        None => Ok(()),
        Some(bad) => Err(Error::InvalidInput(format!(
            "the point x = {}, y = {} can't be fitted: both must be finite and above 0; leave it out or look at its measurement",
            bad.x, bad.y.median
        ))),
    }
}

fn refuse_few_points(law: &dyn Law, telling: &[Point], silent: &[Point]) -> Result<(), Error> {
    let mut different: Vec<f64> = telling.iter().map(|point| point.x).collect();
    different.sort_by(f64::total_cmp);
    different.dedup();
    let needed = law.parameters().len() + SPARE_POINTS;
    if different.len() >= needed {
        return Ok(());
    }
    let shown: Vec<String> = different.iter().map(|&x| chosen(x)).collect();
    let count = law.parameters().len();
    let aside = silent.first().map_or(String::new(), |point| {
        format!(
            ". A point at x = {} doesn't count: the law's value there is the same for all parameters",
            chosen(point.x)
        )
    });
    Err(Error::TooFewPoints(format!(
        "{} has {count} parameter{} and needs points at {needed} or more different x to be tested, but there {} {} ({}); add {} more{aside}",
        law.formula(),
        if count == 1 { "" } else { "s" },
        if different.len() == 1 { "is" } else { "are" },
        different.len(),
        shown.join(", "),
        needed - different.len(),
    )))
}

/// The least-squares problem in free coordinates, which can have any value: the logarithm of a parameter keeps it above
/// zero, and the logarithm of its odds, ln(p / (bound - p)), below a bound as well.
pub(super) struct Problem<'a> {
    pub(super) law: &'a dyn Law,
    pub(super) points: &'a [Point],
    /// Where the search starts; also the scale of each parameter.
    pub(super) start: Vec<f64>,
    sigmas: Vec<f64>,
    free: DVector<f64>,
}

impl<'a> Problem<'a> {
    fn new(law: &'a dyn Law, points: &'a [Point]) -> Self {
        let start = law.guess(points);
        Problem {
            law,
            points,
            sigmas: points.iter().map(relative_sigma).collect(),
            free: DVector::from_iterator(
                start.len(),
                start.iter().enumerate().map(|(place, value)| {
                    let bound = law.upper_bound(place);
                    if bound.is_finite() { (value / (bound - value)).ln() } else { value.ln() }
                }),
            ),
            start,
        }
    }

    fn natural(&self) -> Vec<f64> {
        self.natural_at(&self.free)
    }

    fn natural_at(&self, free: &DVector<f64>) -> Vec<f64> {
        let natural = |(place, coordinate): (usize, &f64)| {
            let bound = self.law.upper_bound(place);
            if bound.is_finite() { bound / (1.0 + (-coordinate).exp()) } else { coordinate.exp() }
        };
        free.iter().enumerate().map(natural).collect()
    }

    /// `(ln f(x_i) - ln y_i) / sigma_i` for every point.
    pub(super) fn residuals_at(&self, parameters: &[f64]) -> DVector<f64> {
        let residuals = self
            .points
            .iter()
            .zip(&self.sigmas)
            .map(|(point, sigma)| (self.law.value(parameters, point.x).ln() - point.y.median.ln()) / sigma);
        DVector::from_iterator(self.points.len(), residuals)
    }
}

/// The standard deviation of the point's logarithm, from its interval.
fn relative_sigma(point: &Point) -> f64 {
    let width = (point.y.high - point.y.low) / point.y.median;
    (width / (2.0 * SIGMAS_TO_END)).max(SIGMA_FLOOR)
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Problem<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, free: &DVector<f64>) {
        self.free.copy_from(free);
    }

    fn params(&self) -> DVector<f64> {
        self.free.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        Some(self.residuals_at(&self.natural()))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        let columns: Vec<DVector<f64>> = (0..self.free.len())
            .map(|column| {
                let shifted = |step: f64| {
                    let mut free = self.free.clone();
                    free[column] += step;
                    self.residuals_at(&self.natural_at(&free))
                };
                (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP)
            })
            .collect();
        Some(DMatrix::from_columns(&columns))
    }
}
