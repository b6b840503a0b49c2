//! What benchmarks come to: rows, as a table and as JSON.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::stamp::write_atomically;

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done, such as `cell`.
    pub case: String,
    /// What was measured of it, such as `time to the answer, median`.
    pub metric: String,
    /// The value, in `unit`.
    pub value: f64,
    /// The unit, such as `s`.
    pub unit: String,
    /// Every single measurement, in the order in which they were made.
    pub samples: Vec<f64>,
    /// With what it is compared, and the peer's value; empty when there is none.
    pub peer: String,
    /// Above 1 when Onramp is ahead of the peer; absent without one.
    pub ratio: Option<f64>,
}

impl Row {
    /// The median of seconds, where less is better, beside the peer's seconds from the same run.
    pub fn seconds(case: &str, metric: &str, ours: Vec<f64>, peer: Option<(&str, &[f64])>) -> Self {
        Self::times(case, metric, "s", ours, peer)
    }

    /// The same in another unit of time.
    pub fn times(case: &str, metric: &str, unit: &str, ours: Vec<f64>, peer: Option<(&str, &[f64])>) -> Self {
        let value = median(&ours);
        let (peer, ratio) = match peer {
            Some((name, theirs)) if !theirs.is_empty() => {
                let other = median(theirs);
                (format!("{name}: {other:.2} {unit} (median of {})", theirs.len()), Some(other / value))
            }
            _ => (String::new(), None),
        };
        Self {
            case: case.to_owned(),
            metric: metric.to_owned(),
            value,
            unit: unit.to_owned(),
            samples: ours,
            peer,
            ratio,
        }
    }

    /// The median of rates, where more is better, beside the peer's rates from the same run.
    pub fn rate(case: &str, metric: &str, unit: &str, ours: Vec<f64>, (name, theirs): (&str, &[f64])) -> Self {
        let (value, other) = (median(&ours), median(theirs));
        let peer = format!("{name}: {} {unit}", shortened(other));
        Self { samples: ours, peer, ratio: Some(value / other), ..Self::plain(case, metric, value, unit) }
    }

    /// A plain value without a peer.
    pub fn plain(case: &str, metric: &str, value: f64, unit: &str) -> Self {
        Self {
            case: case.to_owned(),
            metric: metric.to_owned(),
            value,
            unit: unit.to_owned(),
            samples: vec![value],
            peer: String::new(),
            ratio: None,
        }
    }
}

/// All rows of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: String,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Report {
    /// A report without rows.
    pub fn new(machine: String) -> Self {
        Self { machine, rows: Vec::new() }
    }

    /// The rows as an aligned table.
    pub fn table(&self) -> String {
        let mut lines = vec![["case", "metric", "value", "samples", "ratio", "peer"].map(str::to_owned)];
        for row in &self.rows {
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let value = format!("{} {}", shortened(row.value), row.unit);
            lines.push([
                row.case.clone(),
                row.metric.clone(),
                value,
                row.samples.len().to_string(),
                ratio,
                row.peer.clone(),
            ]);
        }
        let widths: Vec<usize> =
            (0..6).map(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0)).collect();
        let mut text = format!("{}\n", self.machine);
        for line in &lines {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// Writes the rows as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, &serde_json::to_vec_pretty(self)?)
    }
}

fn shortened(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The median; the mean of the middle two for an even number, NaN for none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_means_that_onramp_is_ahead() {
        let row = Row::seconds("cell", "time", vec![0.5, 0.3, 0.4], Some(("stock", &[0.8, 0.8, 0.9])));
        assert_eq!(row.value, 0.4);
        assert_eq!(row.ratio, Some(2.0));
        assert_eq!(Row::seconds("cell", "time", vec![1.0], None).ratio, None);
    }

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_json_has_the_agreed_fields() {
        let mut report = Report::new("a machine".to_owned());
        report.rows.push(Row::plain("setup", "python", 31.0, "s"));
        let value = serde_json::to_value(&report).expect("it serialises");
        assert_eq!(value["machine"], "a machine");
        for field in ["case", "metric", "value", "unit", "samples", "peer", "ratio"] {
            assert!(value["rows"][0].get(field).is_some(), "{field} is missing");
        }
        assert!(report.table().contains("31.00 s"));
    }
}
