//! A fitted law, ready to be read.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::agreement::{at_bound, disagrees, judgement, r_squared, undetermined};
use super::parameter::{Parameter, Predicted, with_unit};
use super::uncertainty::Uncertainty;
use super::{Law, Point};
use crate::Error;
use crate::display::{Table, significant};
use crate::figure::Figure;
use crate::measure::{Estimate, Provenance};

/// Points of the drawn curve.
const CURVE_POINTS: usize = 120;

/// A law's parameters with their 95 % intervals, and whether the law holds for the points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The law's name.
    pub law: String,
    /// The law's formula.
    pub formula: String,
    /// What `x` is, with its unit.
    pub x_label: String,
    /// What `y` is, with its unit.
    pub y_label: String,
    /// True when the curve is drawn on a logarithmic vertical axis.
    pub log_y: bool,
    /// The fitted parameters.
    pub parameters: Vec<Parameter>,
    /// Numbers that follow from the parameters, such as `b*`.
    pub derived: Vec<Parameter>,
    /// The points that the law was fitted to.
    pub points: Vec<Point>,
    /// For each point, the logarithm of measured over fitted: 0.1 means 10 % above the curve.
    pub residuals: Vec<f64>,
    /// Share of the variance of ln y that the curve explains; 1 is a perfect fit.
    pub r2: f64,
    /// False when a point lies off the curve by more than its interval and [`super::TOLERANCE`].
    pub holds: bool,
    /// What a reader should know about the fit, in sentences; the first says whether the law holds.
    pub notes: Vec<String>,
    /// The fitted curve as (x, y), from the first point to the last.
    pub curve: Vec<(f64, f64)>,
}

impl Fit {
    /// Puts the solution of the least squares into the form that is shown, and judges whether the law holds.
    pub(super) fn assemble(law: &dyn Law, points: &[Point], parameters: &[f64], uncertainty: &Uncertainty) -> Fit {
        let symbols = law.parameters().iter().zip(parameters).enumerate();
        let found: Vec<Parameter> = symbols
            .map(|(place, (symbol, &value))| {
                let half =
                    uncertainty.half_width(&DVector::from_fn(parameters.len(), |row, _| f64::from(row == place)));
                Parameter::fitted(symbol, value, half, law.upper_bound(place))
            })
            .collect();
        let mut derived = Vec::new();
        let mut left_out = Vec::new();
        for number in law.derived() {
            match Parameter::derived(number, parameters, uncertainty) {
                Ok(number) => derived.push(number),
                Err(note) => left_out.push(note),
            }
        }
        let curve_at = |x: f64| law.value(parameters, x);
        let residuals: Vec<f64> = points.iter().map(|point| (point.y.median / curve_at(point.x)).ln()).collect();
        let far: Vec<&Point> = points.iter().filter(|point| disagrees(point, curve_at(point.x))).collect();
        let mut notes = vec![judgement(points.len(), &far, curve_at)];
        notes.extend(found.iter().filter(|parameter| parameter.low == 0.0).map(undetermined));
        let bounded = found.iter().enumerate().map(|(place, parameter)| (parameter, law.upper_bound(place)));
        notes
            .extend(bounded.filter(|(parameter, bound)| parameter.high == *bound).map(|(p, bound)| at_bound(p, bound)));
        notes.extend(left_out);
        notes.extend(law.remarks(points, &found));
        let axes = law.axes();
        Fit {
            law: law.name().into(),
            formula: law.formula().into(),
            x_label: axes.x_label.into(),
            y_label: axes.y_label.into(),
            log_y: axes.log_y,
            parameters: found,
            derived,
            points: points.to_vec(),
            r2: r_squared(points, &residuals),
            residuals,
            holds: far.is_empty(),
            notes,
            curve: curve(points, curve_at),
        }
    }

    /// The fitted parameter with this symbol.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the law has no such parameter; the text lists those that it has.
    pub fn parameter(&self, symbol: &str) -> Result<&Parameter, Error> {
        find(&self.parameters, symbol, &self.formula)
    }

    /// The number with this symbol that follows from the parameters, such as `b*`.
    ///
    /// # Errors
    /// As [`Fit::parameter`]; also when the points don't determine the number, with the reason.
    pub fn derived(&self, symbol: &str) -> Result<&Parameter, Error> {
        find(&self.derived, symbol, &self.formula).map_err(|unknown| {
            let reason = self.notes.iter().find(|note| note.starts_with(&format!("{symbol} is not determined")));
            reason.map_or(unknown, |reason| Error::InvalidInput(reason.clone()))
        })
    }

    /// Puts a value that was computed before the run beside the fitted one, with the formula it came from.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the law has no number with this symbol.
    pub fn compare(mut self, symbol: &str, predicted: Estimate, formula: &str) -> Result<Fit, Error> {
        let numbers = self.parameters.iter_mut().chain(&mut self.derived);
        match numbers.into_iter().find(|number| number.symbol == symbol) {
            Some(number) => number.predicted = Some(Predicted { value: predicted, formula: formula.into() }),
            None => return Err(unknown(self.parameters.iter().chain(&self.derived), symbol, &self.formula)),
        }
        Ok(self)
    }

    /// The numbers as a table, with the notes below.
    pub fn table(&self) -> Table {
        let columns = ["", "meaning", "fitted", "95 % interval", "predicted", "apart"];
        let mut table = Table::new(format!("{}: {}", self.law, self.formula), columns);
        for number in self.parameters.iter().chain(&self.derived) {
            table = table.row([
                number.symbol.clone(),
                number.meaning.clone(),
                with_unit(number.value, &number.unit),
                format!("{} to {}", significant(number.low), significant(number.high)),
                number.predicted.as_ref().map_or(String::new(), |predicted| predicted.value.to_string()),
                number.factor().map_or(String::new(), |factor| format!("{}x", significant(factor))),
            ]);
        }
        table = table.note(format!("R² = {:.4} over {} points.", self.r2, self.points.len()));
        for number in self.parameters.iter().chain(&self.derived) {
            if let Some(predicted) = &number.predicted {
                table =
                    table.note(format!("{} was predicted before the run from {}.", number.symbol, predicted.formula));
            }
        }
        self.notes.iter().fold(table, |table, note| table.note(note.as_str()))
    }

    /// The points with their intervals and the fitted curve through them.
    ///
    /// # Errors
    /// None in practice: the points were checked before the fit.
    pub fn figure(&self) -> Result<Figure, Error> {
        let mut figure =
            Figure::new(self.law.as_str()).x_label(self.x_label.as_str()).y_label(self.y_label.as_str()).log_x();
        if self.log_y {
            figure = figure.log_y();
        }
        for provenance in Provenance::ALL {
            let points: Vec<&Point> = self.points.iter().filter(|point| point.provenance == provenance).collect();
            if !points.is_empty() {
                let xs: Vec<f64> = points.iter().map(|point| point.x).collect();
                let ys: Vec<Estimate> = points.iter().map(|point| point.y.clone()).collect();
                figure = figure.points(provenance.label(), provenance, &xs, &ys)?;
            }
        }
        let (xs, ys): (Vec<f64>, Vec<f64>) = self.curve.iter().copied().unzip();
        figure = figure.line("fitted law", &xs, &ys)?;
        let inside = |x: f64| xs.first().is_some_and(|&first| first <= x) && xs.last().is_some_and(|&last| x <= last);
        for number in self.derived.iter().filter(|number| number.on_x && inside(number.value)) {
            figure = figure.vertical(number.value, format!("{} = {}", number.symbol, significant(number.value)));
        }
        Ok(figure)
    }

    /// Shows the table and the figure in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}

impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.table().fmt(f)
    }
}

fn find<'a>(numbers: &'a [Parameter], symbol: &str, formula: &str) -> Result<&'a Parameter, Error> {
    numbers.iter().find(|number| number.symbol == symbol).ok_or_else(|| unknown(numbers, symbol, formula))
}

fn unknown<'a>(numbers: impl IntoIterator<Item = &'a Parameter>, symbol: &str, formula: &str) -> Error {
    let known: Vec<&str> = numbers.into_iter().map(|number| number.symbol.as_str()).collect();
    Error::InvalidInput(format!(
        "{formula} has no number called \"{symbol}\" here; choose one of: {}",
        known.join(", ")
    ))
}

/// The curve at evenly spaced places of a logarithmic axis, from the first point to the last.
fn curve(points: &[Point], curve_at: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let first = points.iter().map(|point| point.x).fold(f64::INFINITY, f64::min);
    let last = points.iter().map(|point| point.x).fold(0.0, f64::max);
    (0..CURVE_POINTS)
        .map(|place| {
            let x = first * (last / first).powf(place as f64 / (CURVE_POINTS - 1) as f64);
            (x, curve_at(x))
        })
        .collect()
}
