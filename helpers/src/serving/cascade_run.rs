//! What a cascade gains, and what it costs.

use serde::{Deserialize, Serialize};

use super::cascade::Cascade;
use crate::display::{Table, chosen, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::machine::Machine;
use crate::measure::share::{mean, percentile, share};
use crate::measure::{Estimate, Provenance};

/// One held-out row on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CascadeRow {
    /// The probability that the edge model gives its own class.
    pub confidence: f64,
    /// Whether the edge model is right.
    pub edge_right: bool,
    /// Whether the cloud's model is right.
    pub cloud_right: bool,
    /// Seconds of the edge model for this row alone, measured.
    pub edge_seconds: f64,
}

/// One threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CascadePoint {
    /// The confidence below which a row goes to the cloud.
    pub threshold: f64,
    /// The share of rows that do.
    pub offloaded: f64,
    /// The share of rows that the cascade gets right.
    pub accuracy: Estimate,
    /// The share that is right when as many rows, chosen at random, go to the cloud: the mean over all choices.
    pub random_accuracy: Estimate,
    /// The first minus the second, with the bootstrap interval over the rows, each compared with itself.
    pub gain: Estimate,
    /// Mean seconds to an answer: measured at the edge, emulated to the cloud and back.
    pub mean_seconds: f64,
    /// The seconds that 99 % of the answers don't exceed.
    pub p99_seconds: f64,
}

impl CascadePoint {
    pub(super) fn new(threshold: f64, rows: &[CascadeRow], round_trips: &[f64]) -> Self {
        let asks = |row: &CascadeRow| row.confidence < threshold;
        let right = |right: bool| f64::from(u8::from(right));
        let offloaded = rows.iter().filter(|row| asks(row)).count() as f64 / rows.len() as f64;
        let cascade: Vec<f64> =
            rows.iter().map(|row| right(if asks(row) { row.cloud_right } else { row.edge_right })).collect();
        let at_random =
            |row: &CascadeRow| (1.0 - offloaded) * right(row.edge_right) + offloaded * right(row.cloud_right);
        let random: Vec<f64> = rows.iter().map(at_random).collect();
        let gains: Vec<f64> = cascade.iter().zip(&random).map(|(cascade, random)| cascade - random).collect();
        let mut trips = round_trips.iter().cycle();
        let mut wait = |row: &CascadeRow| if asks(row) { trips.next().copied().unwrap_or(0.0) } else { 0.0 };
        let mut seconds: Vec<f64> = rows.iter().map(|row| row.edge_seconds + wait(row)).collect();
        Self {
            threshold,
            offloaded,
            accuracy: mean(&cascade),
            random_accuracy: mean(&random),
            gain: mean(&gains),
            mean_seconds: seconds.iter().sum::<f64>() / seconds.len() as f64,
            p99_seconds: percentile(&mut seconds, 0.99),
        }
    }
}

/// The result of [`Cascade::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CascadeRun {
    /// What was run.
    pub cascade: Cascade,
    /// One point for each threshold.
    pub points: Vec<CascadePoint>,
    /// The held-out rows.
    pub rows: Vec<CascadeRow>,
    /// Seconds of questions to the cloud, over the emulated link, with the cloud's inference.
    pub round_trips: Vec<f64>,
    /// The machine that did the inference.
    pub machine: Machine,
}

impl CascadeRun {
    /// The share of rows that the edge model alone gets right.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without rows.
    pub fn edge_accuracy(&self) -> Result<Estimate> {
        self.right(|row| row.edge_right)
    }

    /// The share of rows that the cloud's model gets right.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] without rows.
    pub fn cloud_accuracy(&self) -> Result<Estimate> {
        self.right(|row| row.cloud_right)
    }

    fn right(&self, right: impl Fn(&CascadeRow) -> bool) -> Result<Estimate> {
        let hits = self.rows.iter().filter(|row| right(row)).count();
        share(hits, self.rows.len()).ok_or_else(|| Error::TooFewPoints("this run has 0 rows; run it again".into()))
    }

    /// The point whose offloaded share is nearest to `share`. Choosing by the share, not by the gain, keeps the interval
    /// honest.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] when the run has no points.
    pub fn near_share(&self, share: f64) -> Result<&CascadePoint> {
        let distance = |point: &&CascadePoint| (point.offloaded - share).abs();
        let nearest = self.points.iter().min_by(|one, other| distance(one).total_cmp(&distance(other)));
        nearest.ok_or_else(|| Error::TooFewPoints("this run has 0 thresholds; run it with at least one".into()))
    }

    /// The same rows with another threshold.
    pub fn at(&self, threshold: f64) -> CascadePoint {
        CascadePoint::new(threshold, &self.rows, &self.round_trips)
    }

    /// One line for each threshold.
    pub fn table(&self) -> Table {
        let Cascade { edge, cloud, link, .. } = &self.cascade;
        let columns =
            ["threshold", "to the cloud, %", "right, %", "at random, %", "gain, points", "mean, ms", "p99, ms"];
        let mut table = Table::new(format!("{edge} at the edge, {cloud} behind {link}"), columns);
        let percent = |share: &Estimate| share.map(|share| 100.0 * share).to_string();
        for point in &self.points {
            table = table.row([
                chosen(point.threshold),
                significant(100.0 * point.offloaded),
                percent(&point.accuracy),
                percent(&point.random_accuracy),
                percent(&point.gain),
                significant(1e3 * point.mean_seconds),
                significant(1e3 * point.p99_seconds),
            ]);
        }
        table
            .note(format!(
                "{} held-out rows of {}. Edge times are {}; {} questions to the cloud are {} ({}).",
                self.rows.len(),
                self.cascade.data,
                Provenance::Measured,
                self.round_trips.len(),
                Provenance::Emulated,
                Provenance::Emulated.meaning()
            ))
            .note("At random: as many rows to the cloud, whichever they are. Intervals are 95 % bootstrap intervals over the rows.")
            .note(format!("{}.", self.machine))
    }

    /// The accuracy of both ways against the share that goes to the cloud.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn figure(&self) -> Result<Figure> {
        let shares: Vec<f64> = self.points.iter().map(|point| 100.0 * point.offloaded).collect();
        let percent = |pick: fn(&CascadePoint) -> &Estimate| -> Vec<Estimate> {
            self.points.iter().map(|point| pick(point).map(|share| 100.0 * share)).collect()
        };
        let (cascade, random) = (percent(|point| &point.accuracy), percent(|point| &point.random_accuracy));
        let medians = |values: &[Estimate]| -> Vec<f64> { values.iter().map(|value| value.median).collect() };
        Figure::new("Which rows are worth the way to the cloud?")
            .x_label("rows sent to the cloud, %")
            .y_label("right answers, %")
            .points("least confident", Provenance::Measured, &shares, &cascade)?
            .line("least confident", &shares, &medians(&cascade))?
            .points("at random", Provenance::Measured, &shares, &random)?
            .line("at random", &shares, &medians(&random))
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
