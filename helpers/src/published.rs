//! Numbers from papers, each with its source, to be laid over what was measured here and never mixed with it.
//!
//! ```
//! use onramp::figure::Figure;
//! use onramp::published::series;
//!
//! let figure = Figure::new("Data parallelism in the field")
//!     .x_label("GPUs")
//!     .y_label("efficiency")
//!     .published(&series("ultrascale-dp")?.relative_to_first()?)?;
//! assert!(figure.to_string().contains("published"));
//! # Ok::<(), onramp::Error>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::display::{Table, chosen, significant};

/// The numbers, compiled into the library.
const FILE: &str = include_str!("published.json");

/// One published curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Short name, as given to [`series`].
    pub id: String,
    /// What was measured.
    pub title: String,
    /// Where it was published.
    pub source: String,
    /// What was varied.
    pub x_label: String,
    /// What came out, with its unit.
    pub y_label: String,
    /// The varied numbers.
    pub xs: Vec<f64>,
    /// The results.
    pub ys: Vec<f64>,
}

/// The published curve with this short name.
///
/// # Errors
/// [`Error::InvalidInput`] for an unknown name; the text lists the known ones.
pub fn series(id: &str) -> Result<Series, Error> {
    let all = all()?;
    let known: Vec<String> = all.iter().map(|series| series.id.clone()).collect();
    all.into_iter().find(|series| series.id == id).ok_or_else(|| {
        Error::InvalidInput(format!("no published series is called \"{id}\"; choose one of: {}", known.join(", ")))
    })
}

/// Every published curve.
///
/// # Errors
/// [`Error::InvalidInput`] when `published.json` was edited into a form that can't be read.
pub fn all() -> Result<Vec<Series>, Error> {
    let file: File = serde_json::from_str(FILE).map_err(|error| {
        Error::InvalidInput(format!("published.json can't be read: {error}; restore the file and rebuild"))
    })?;
    file.series.into_iter().map(Entry::into_series).collect()
}

impl Series {
    /// The same curve with every result divided by the first, for example throughput per GPU as efficiency.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the first result is not above zero.
    pub fn relative_to_first(mut self) -> Result<Series, Error> {
        let first = self.ys.first().copied().unwrap_or(0.0);
        if first <= 0.0 {
            return Err(Error::InvalidInput(format!(
                "the first result of \"{}\" is {first}, so nothing can be told relative to it; use the series as it is",
                self.id
            )));
        }
        self.ys.iter_mut().for_each(|y| *y /= first);
        self.y_label = format!("relative to {} {}", chosen(self.xs[0]), self.x_label);
        Ok(self)
    }

    /// The numbers with their source, as a table.
    pub fn table(&self) -> Table {
        let table = Table::new(self.title.as_str(), [self.x_label.as_str(), self.y_label.as_str()]);
        let table = self.xs.iter().zip(&self.ys).fold(table, |table, (x, y)| table.row([chosen(*x), significant(*y)]));
        table.note(format!("Published: {}.", self.source))
    }

    /// Shows the table in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

/// The file as it is written.
#[derive(Deserialize)]
struct File {
    series: Vec<Entry>,
}

/// One entry of the file; each axis has one name with its numbers.
#[derive(Deserialize)]
struct Entry {
    id: String,
    title: String,
    source: String,
    x: BTreeMap<String, Vec<f64>>,
    y: BTreeMap<String, Vec<f64>>,
}

impl Entry {
    fn into_series(self) -> Result<Series, Error> {
        match (self.x.into_iter().next(), self.y.into_iter().next()) {
            (Some((x_label, xs)), Some((y_label, ys))) if xs.len() == ys.len() && !xs.is_empty() => Ok(Series {
                id: self.id,
                title: self.title,
                source: self.source,
                x_label,
                y_label: y_label.replace('_', " "),
                xs,
                ys,
            }),
            _ => Err(Error::InvalidInput(format!(
                "the published series \"{}\" needs as many x as y; repair published.json",
                self.id
            ))),
        }
    }
}
