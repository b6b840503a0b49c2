//! A fitted law, ready to be read.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::agreement::{disagrees, judgement, r_squared, undetermined};
use super::least_squares::STEP;
use super::uncertainty::Uncertainty;
use super::{Law, Point, Symbol};
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

/// One number of a fitted law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its letter in the formula.
    pub symbol: String,
    /// Its unit.
    pub unit: String,
    /// What it stands for.
    pub meaning: String,
    /// The fitted value.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// What was expected before the run, if anybody computed it.
    pub predicted: Option<Predicted>,
}

/// A number computed before the run, to be compared with the fitted one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The expected value, with the interval that its ingredients give it.
    pub value: Estimate,
    /// How it was computed, as a formula.
    pub formula: String,
}

impl Fit {
    /// Puts the solution of the least squares into the form that is shown, and judges whether the law holds.
    pub(super) fn assemble(law: &dyn Law, points: &[Point], parameters: &[f64], uncertainty: &Uncertainty) -> Fit {
        let count = parameters.len();
        let found: Vec<Parameter> = (law.parameters().iter().zip(parameters).enumerate())
            .map(|(place, (symbol, &value))| {
                let direction = DVector::from_fn(count, |row, _| if row == place { 1.0 } else { 0.0 });
                let half = uncertainty.half_width(&direction);
                Parameter::new(symbol, value, (value - half).max(0.0), value + half)
            })
            .collect();
        let derived = law
            .derived()
            .iter()
            .map(|derived| {
                let value = (derived.value)(parameters);
                let half = uncertainty.half_width(&gradient(derived.value, parameters));
                Parameter::new(&derived.symbol, value, value - half, value + half)
            })
            .collect();
        let curve_at = |x: f64| law.value(parameters, x);
        let residuals: Vec<f64> = points.iter().map(|point| (point.y.median / curve_at(point.x)).ln()).collect();
        let far: Vec<&Point> = points.iter().filter(|point| disagrees(point, curve_at(point.x))).collect();
        let mut notes = vec![judgement(points.len(), &far, curve_at)];
        notes.extend(found.iter().filter(|parameter| parameter.low == 0.0).map(undetermined));
        notes.extend(law.remarks(points, parameters));
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
    /// As [`Fit::parameter`].
    pub fn derived(&self, symbol: &str) -> Result<&Parameter, Error> {
        find(&self.derived, symbol, &self.formula)
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
                format!("{} {}", significant(number.value), number.unit),
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
        for number in self.derived.iter().filter(|number| inside(number.value)) {
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

impl Parameter {
    fn new(symbol: &Symbol, value: f64, low: f64, high: f64) -> Parameter {
        Parameter {
            symbol: symbol.symbol.into(),
            unit: symbol.unit.into(),
            meaning: symbol.meaning.into(),
            value,
            low,
            high,
            predicted: None,
        }
    }

    /// How far the prediction and the fitted value are apart: 1 when equal, 2 when one is twice the other.
    /// None without a prediction, or when one of the two is not above zero.
    pub fn factor(&self) -> Option<f64> {
        let ratio = self.predicted.as_ref()?.value.median / self.value;
        (ratio.is_finite() && ratio > 0.0).then(|| ratio.max(1.0 / ratio))
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

/// How `value` changes with each parameter.
fn gradient(value: fn(&[f64]) -> f64, parameters: &[f64]) -> DVector<f64> {
    DVector::from_fn(parameters.len(), |row, _| {
        let mut shifted = parameters.to_vec();
        let step = STEP * parameters[row].max(1e-9);
        shifted[row] += step;
        (value(&shifted) - value(parameters)) / step
    })
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
