//! The roof of one machine, and the runs below it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fit, Law, Roofline};
use crate::Error;
use crate::display::{Table, chosen, significant};
use crate::figure::Figure;
use crate::measure::{Estimate, Provenance};

/// How far the drawn roof reaches beyond the outermost run, as a factor.
const ROOM: f64 = 8.0;

/// What a machine can reach at most, by the law [`Roofline`].
///
/// ```
/// use onramp::law::{Limit, Roof};
/// use onramp::measure::{Estimate, Provenance};
///
/// // The Opteron X2 of the paper, with a sparse matrix-vector product of 0.25 operations per byte.
/// let roof = Roof::new(Estimate::exact(17.6e9), Estimate::exact(15e9))?;
/// let run = roof.place("SpMV", 0.25, Estimate::exact(1.5e9), Provenance::Measured)?;
/// assert_eq!(run.limit, Limit::Memory);
/// assert!((run.share.median - 0.4).abs() < 1e-9); // 1.5 of 3.75 billion operations per second
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    peak: Estimate,
    bytes_per_second: Estimate,
}

/// A run below the roof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// What ran.
    pub name: String,
    /// Operations per byte.
    pub intensity: f64,
    /// Operations per second that it reached.
    pub achieved: Estimate,
    /// Operations per second that the machine can reach at this intensity.
    pub attainable: Estimate,
    /// Share of the roof: achieved over attainable.
    pub share: Estimate,
    /// What the roof above the run is made of.
    pub limit: Limit,
    /// Where `achieved` came from.
    pub provenance: Provenance,
}

/// What limits a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Left of the ridge point: the bytes take longer than the arithmetic.
    Memory,
    /// Right of the ridge point: the arithmetic takes longer than the bytes.
    Compute,
    /// Inside the interval of the ridge point, where the two can't be told apart.
    Ridge,
}

impl Roof {
    /// The roof from a measured peak, in operations per second, and a measured memory bandwidth, in bytes per second.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when one of them, or an end of its interval, is not above 0 and finite.
    pub fn new(peak: Estimate, bytes_per_second: Estimate) -> Result<Roof, Error> {
        refuse("the peak in operations per second", &peak)?;
        refuse("the memory bandwidth in bytes per second", &bytes_per_second)?;
        Ok(Roof { peak, bytes_per_second })
    }

    /// The roof that was fitted by [`Roofline`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `fit` is of another law, or an interval reaches down to 0.
    pub fn fitted(fit: &Fit) -> Result<Roof, Error> {
        Roof::new(fit.parameter("P")?.estimate(), fit.parameter("B")?.estimate())
    }

    /// The ridge point, in operations per byte.
    pub fn ridge(&self) -> Estimate {
        over(&self.peak, &self.bytes_per_second)
    }

    /// Operations per second that the machine can reach at this intensity.
    pub fn attainable(&self, intensity: f64) -> Estimate {
        let at = |peak: f64, bandwidth: f64| Roofline.value(&[peak, bandwidth], intensity);
        let (peak, bandwidth) = (&self.peak, &self.bytes_per_second);
        let median = at(peak.median, bandwidth.median);
        Estimate {
            median,
            low: at(peak.low, bandwidth.low),
            high: at(peak.high, bandwidth.high),
            samples: vec![median],
        }
    }

    /// Holds a run against the roof.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the intensity or what was achieved is not above 0 and finite.
    pub fn place(
        &self,
        name: impl Into<String>,
        intensity: f64,
        achieved: Estimate,
        provenance: Provenance,
    ) -> Result<Placed, Error> {
        let name = name.into();
        refuse(&format!("the operational intensity of \"{name}\""), &Estimate::exact(intensity))?;
        refuse(&format!("the operations per second of \"{name}\""), &achieved)?;
        let ridge = self.ridge();
        let limit = match intensity {
            intensity if intensity < ridge.low => Limit::Memory,
            intensity if intensity > ridge.high => Limit::Compute,
            _ => Limit::Ridge,
        };
        let attainable = self.attainable(intensity);
        let share = over(&achieved, &attainable);
        Ok(Placed { name, intensity, achieved, attainable, share, limit, provenance })
    }

    /// The runs with what limits them and how much of the roof they reach.
    pub fn table(&self, runs: &[Placed]) -> Table {
        let columns = ["run", "operations/byte", "operations/s", "roof", "share of the roof", "limited by"];
        let table = runs.iter().fold(Table::new("Runs below the roof", columns), |table, run| {
            table.row([
                run.name.clone(),
                chosen(run.intensity),
                run.achieved.to_string(),
                significant(run.attainable.median),
                run.share.to_string(),
                run.limit.to_string(),
            ])
        });
        let table = table.note(format!("Ridge point: {} operations/byte.", self.ridge()));
        runs.iter().filter(|run| run.share.low > 1.0).fold(table, |table, run| {
            table.note(format!(
                "\"{}\" lies above the roof: its bytes came from a cache, or the roof was measured too low.",
                run.name
            ))
        })
    }

    /// The roof with the runs below it, on logarithmic axes.
    ///
    /// # Errors
    /// None in practice: all numbers were checked before.
    pub fn figure(&self, runs: &[Placed]) -> Result<Figure, Error> {
        let axes = Roofline.axes();
        let ridge = self.ridge().median;
        let ends = runs.iter().map(|run| run.intensity);
        let (first, last) = ends.fold((ridge, ridge), |(first, last), x| (first.min(x), last.max(x)));
        let xs = [first / ROOM, ridge, last * ROOM];
        let ys = xs.map(|x| self.attainable(x).median);
        let mut figure = Figure::new("Roofline").x_label(axes.x_label).y_label(axes.y_label).log_x().log_y();
        figure = figure.line("roof", &xs, &ys)?;
        for run in runs {
            figure = figure.points(
                run.name.as_str(),
                run.provenance,
                &[run.intensity],
                std::slice::from_ref(&run.achieved),
            )?;
        }
        Ok(figure.vertical(ridge, format!("I* = {}", significant(ridge))))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Memory => "memory",
            Limit::Compute => "compute",
            Limit::Ridge => "memory or compute: at the ridge point",
        })
    }
}

/// For example `SpMV is memory-bound and reaches 40 % of the roof (1.50e9 of 3.75e9 operations/s)`.
impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.limit {
            Limit::Memory => "memory-bound",
            Limit::Compute => "compute-bound",
            Limit::Ridge => "at the ridge point",
        };
        write!(
            f,
            "{} is {bound} and reaches {:.0} % of the roof ({} of {} operations/s)",
            self.name,
            100.0 * self.share.median,
            significant(self.achieved.median),
            significant(self.attainable.median)
        )
    }
}

/// The quotient of two numbers that were not measured in turn: its interval has the most distant quotients as its ends.
fn over(one: &Estimate, other: &Estimate) -> Estimate {
    let median = one.median / other.median;
    Estimate { median, low: one.low / other.high, high: one.high / other.low, samples: vec![median] }
}

fn refuse(what: &str, value: &Estimate) -> Result<(), Error> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    match [value.median, value.low, value.high].into_iter().find(|value| !usable(*value)) {
        None => Ok(()),
        Some(bad) => Err(Error::InvalidInput(format!(
            "{what} is {bad}, or its interval reaches there, but it must be finite and above 0; look at its measurement"
        ))),
    }
}
