//! How sure the fitted numbers are.
//!
//! ```text
//! covariance = s² (JᵀJ)⁻¹          s² = max(1, sum of squared residuals / (points - parameters))
//! ```
//!
//! J holds the derivatives of the weighted residuals. The factor s² widens the intervals where the points scatter more
//! than their own intervals say (Birge, 1932), and Student's t widens them for the few points of a short experiment.

use nalgebra::{DMatrix, DVector};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::least_squares::{Problem, STEP};
use crate::Error;

/// Directions closer than this are the same: it is ten times the error of the numerical derivatives.
const SMALLEST_DIFFERENCE: f64 = 10.0 * STEP;

/// How sure the parameters are: their covariance, and how many standard deviations make a 95 % interval.
pub(super) struct Uncertainty {
    covariance: DMatrix<f64>,
    deviations: f64,
}

impl Uncertainty {
    /// The uncertainty of `parameters`, the solution of `problem`.
    pub(super) fn of(problem: &Problem, parameters: &[f64]) -> Result<Uncertainty, Error> {
        let here = problem.residuals_at(parameters);
        // A forward step: a parameter at zero must not be pushed below it.
        let scales: Vec<f64> = parameters.iter().zip(&problem.start).map(|(value, start)| value.max(*start)).collect();
        let columns: Vec<DVector<f64>> = (0..parameters.len())
            .map(|column| {
                let mut shifted = parameters.to_vec();
                shifted[column] += STEP * scales[column];
                // Per unit of the parameter's own scale, which brings all columns to a like size before the inversion.
                (problem.residuals_at(&shifted) - &here) / STEP
            })
            .collect();
        let jacobian = DMatrix::from_columns(&columns);
        let undetermined = || {
            Error::InvalidInput(format!(
                "these points don't determine the parameters of {}: several choices fit equally well; spread x more widely, \
                 or fit a law with fewer parameters",
                problem.law.formula()
            ))
        };
        if !columns_differ(&columns) {
            return Err(undetermined());
        }
        let inverse = (jacobian.transpose() * &jacobian).try_inverse().ok_or_else(undetermined)?;
        let freedom = (problem.points.len() - parameters.len()) as f64;
        let scatter = (here.norm_squared() / freedom).max(1.0);
        let units = DMatrix::from_diagonal(&DVector::from_vec(scales));
        let student = StudentsT::new(0.0, 1.0, freedom)
            .map_err(|error| Error::InvalidInput(format!("no interval for {freedom} degrees of freedom: {error}")))?;
        Ok(Uncertainty { covariance: &units * inverse * &units * scatter, deviations: student.inverse_cdf(0.975) })
    }

    /// Half the width of the 95 % interval of a number with this gradient over the parameters.
    pub(super) fn half_width(&self, gradient: &DVector<f64>) -> f64 {
        self.deviations * (gradient.transpose() * &self.covariance * gradient)[(0, 0)].max(0.0).sqrt()
    }
}

/// False when a column is zero, or a sum of the others: the points then don't tell the parameters apart, and an inverse
/// would only show rounding errors.
fn columns_differ(columns: &[DVector<f64>]) -> bool {
    if columns.iter().any(|column| column.norm() == 0.0 || !column.norm().is_finite()) {
        return false;
    }
    let directions: Vec<DVector<f64>> = columns.iter().map(|column| column.normalize()).collect();
    DMatrix::from_columns(&directions).singular_values().min() > SMALLEST_DIFFERENCE
}
