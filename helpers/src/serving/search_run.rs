//! What searches took, where they break a limit, and what cells gain.

use serde::{Deserialize, Serialize};

use super::search::{LAW_FROM, Lie, NeighbourSearch};
use crate::display::{Table, chosen, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::judgement::{Claim, Verdict};
use crate::law::{Fit, Point, PowerLaw, fit};
use crate::machine::Machine;
use crate::measure::{Estimate, Provenance};

/// A slope from which on time grows like the rows.
const LINEAR: f64 = 0.9;

/// A search that looks at every row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchPoint {
    /// Rows of the table.
    pub rows: usize,
    /// Seconds of a search on one core, measured.
    pub seconds: Estimate,
}

/// A search that looks into some cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellPoint {
    /// How the rows lie.
    pub lie: Lie,
    /// Cells that are looked into.
    pub probes: usize,
    /// Cells that there are.
    pub cells: usize,
    /// The share of the true neighbours that is found, over the queries.
    pub recall: Estimate,
    /// The share of the rows that is looked at.
    pub looked_at: f64,
    /// Seconds of a search on one core, measured.
    pub seconds: Estimate,
}

/// The result of [`NeighbourSearch::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRun {
    /// What was run.
    pub search: NeighbourSearch,
    /// One point for each table, in order of its rows.
    pub points: Vec<SearchPoint>,
    /// The exponent of the time from 10,000 rows on: 1 is in proportion to the rows. One sample for each round.
    pub slope: Estimate,
    /// Rows at which the extrapolated line reaches the limit, N_break.
    pub break_rows: usize,
    /// The search of twice as many, measured.
    pub beyond: SearchPoint,
    /// Searches in cells of the largest table, for rows that lie in clusters and for rows that don't.
    pub cells: Vec<CellPoint>,
    /// The machine that searched.
    pub machine: Machine,
}

impl SearchRun {
    /// The power law of searches per second against rows, from 10,000 rows on.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] with fewer than five such tables.
    pub fn fit(&self) -> Result<Fit> {
        let law_from = self.points.iter().filter(|point| point.rows >= LAW_FROM);
        let rate = |point: &SearchPoint| point.seconds.map(|seconds| 1.0 / seconds);
        let points: Vec<Point> =
            law_from.map(|point| Point::new(point.rows as f64, rate(point), Provenance::Measured)).collect();
        fit(&PowerLaw::new("rows", "searches per second"), &points)
    }

    /// Judges the belief that the simple search handles any amount of data: that it stays within the limit. A myth when twice
    /// N_break rows break it, in proportion to the rows.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] when the slope is not that of a line, so that the break may be chance.
    pub fn verdict(&self, belief: &str) -> Result<Verdict> {
        if self.slope.low < LINEAR {
            return Err(Error::TooFewPoints(format!(
                "the time grows with the rows to the power of {}, which may be less than {LINEAR}; run it again on a quieter \
                 machine, or with larger tables",
                self.slope
            )));
        }
        let limit = self.search.limit_seconds;
        let claim = Claim::at_most("time of a search over its limit", 1.0, "x");
        let tried = [self.points.iter().rfind(|point| point.rows < self.break_rows), Some(&self.beyond)];
        let settings = tried.into_iter().flatten().map(|point| {
            let setting = format!("{} rows", chosen(point.rows as f64));
            (setting, point.seconds.map(|seconds| seconds / limit), Provenance::Measured)
        });
        Ok(Verdict::judge(belief, claim, settings)?
            .condition(format!("limit: {} ms", significant(1e3 * limit)))
            .condition(format!("time grows with the rows to the power of {}", self.slope))
            .condition(self.machine.to_string()))
    }

    /// The searches of all rows, and those in cells.
    pub fn table(&self) -> Table {
        let columns = ["search", "rows", "looked at, %", "found, %", "time, ms"];
        let mut table = Table::new(format!("The {} nearest neighbours", self.search.neighbours), columns);
        let ms = |seconds: &Estimate| seconds.map(|seconds| 1e3 * seconds).to_string();
        for point in self.points.iter().chain([&self.beyond]) {
            let cells = ["all rows".to_string(), chosen(point.rows as f64), "100".to_string(), "100".to_string()];
            table = table.row(cells.into_iter().chain([ms(&point.seconds)]));
        }
        let rows = self.points.last().map_or(0, |point| point.rows);
        for point in &self.cells {
            table = table.row([
                format!("{} of {} cells, {}", point.probes, point.cells, point.lie.label()),
                chosen(rows as f64),
                significant(100.0 * point.looked_at),
                point.recall.map(|recall| 100.0 * recall).to_string(),
                ms(&point.seconds),
            ]);
        }
        table
            .note(format!(
                "From {LAW_FROM} rows on the time grows with the rows to the power of {}. The limit of {} ms is reached at {} \
                 rows by that line; twice as many were measured.",
                self.slope,
                significant(1e3 * self.search.limit_seconds),
                significant(self.break_rows as f64)
            ))
            .note(format!("All times are {}, on one core. {}.", Provenance::Measured, self.machine))
    }

    /// The time against the rows, with the line and where it breaks.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn figure(&self) -> Result<Figure> {
        let points: Vec<&SearchPoint> = self.points.iter().chain([&self.beyond]).collect();
        let xs: Vec<f64> = points.iter().map(|point| point.rows as f64).collect();
        let ys: Vec<Estimate> = points.iter().map(|point| point.seconds.map(|seconds| 1e3 * seconds)).collect();
        let limit = 1e3 * self.search.limit_seconds;
        let ends = [xs.first().copied().unwrap_or(1.0), self.beyond.rows as f64];
        let on_line = ends.map(|rows| limit * (rows / self.break_rows as f64).powf(self.slope.median));
        Figure::new("A search that looks at every row")
            .x_label("rows")
            .y_label("time of a search, ms")
            .log_x()
            .log_y()
            .points("all rows", Provenance::Measured, &xs, &ys)?
            .line("line through 10,000 rows and more", &ends, &on_line)?
            .line("limit", &ends, &[limit; 2])
            .map(|figure| figure.vertical(self.break_rows as f64, "N_break"))
    }

    /// Recall against the share of the rows that is looked at, for both kinds of rows.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn recall_figure(&self) -> Result<Figure> {
        let mut figure =
            Figure::new("What cells find").x_label("rows looked at, %").y_label("true neighbours found, %").log_x();
        for lie in [Lie::Clustered, Lie::Uniform] {
            let points = || self.cells.iter().filter(|point| point.lie == lie);
            let xs: Vec<f64> = points().map(|point| 100.0 * point.looked_at).collect();
            let ys: Vec<Estimate> = points().map(|point| point.recall.map(|recall| 100.0 * recall)).collect();
            let medians: Vec<f64> = ys.iter().map(|recall| recall.median).collect();
            let name = lie.label();
            figure = figure.points(name, Provenance::Measured, &xs, &ys)?.line(name, &xs, &medians)?;
        }
        Ok(figure)
    }

    /// Shows the table and both figures below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        for figure in [self.figure(), self.recall_figure()].into_iter().flatten() {
            figure.evcxr_display();
        }
    }
}

impl Lie {
    /// What a legend says.
    fn label(self) -> &'static str {
        match self {
            Lie::Clustered => "rows in clusters",
            Lie::Uniform => "rows anywhere",
        }
    }
}
