//! A load's result as a table and figures.

use super::answers::{AnswerClass, RetryAfter};
use super::load_run::LoadRun;
use crate::display::{Table, chosen, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::measure::Estimate;

impl LoadRun {
    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let milliseconds = |seconds: f64| significant(1e3 * seconds);
        let sign = self.provenance.sign();
        let mut table = Table::new(format!("A load on {} {sign}", self.load.target), ["what", "value"])
            .row(["offered, requests/s".to_string(), significant(self.offered_per_second())])
            .row(["sent, requests/s".to_string(), significant(self.sent_per_second)])
            .row(["answered, requests/s".to_string(), significant(self.answered_per_second())])
            .row(["goodput, requests/s".to_string(), significant(self.goodput_per_second())]);
        for percent in [50.0, 90.0, 99.0, 99.9, 100.0] {
            if let Ok(seconds) = self.percentile(percent) {
                let name = if percent == 100.0 { "longest, ms".to_string() } else { format!("p{percent}, ms") };
                table = table.row([name, milliseconds(seconds)]);
            }
        }
        if let Ok(mean) = self.mean() {
            table = table.row(["mean, ms".to_string(), milliseconds(mean)]);
        }
        for (status, count) in &self.answers {
            table = table.row([format!("answers {status}"), chosen(*count as f64)]);
        }
        for (failure, count) in &self.failures {
            table = table.row([failure.to_string(), chosen(*count as f64)]);
        }
        table = table
            .row(["in flight, mean".to_string(), significant(self.in_flight())])
            .row(["connections, at most".to_string(), self.most_connections.to_string()]);
        self.notes().into_iter().fold(table, Table::note)
    }

    fn notes(&self) -> Vec<String> {
        let milliseconds = |seconds: f64| significant(1e3 * seconds);
        let mut notes = Vec::new();
        notes.extend(self.not_kept_up.clone());
        notes.push(format!(
            "{} requests in {} s after {} s that do not count, {}; latency counts from the moment at which a request was due.",
            chosen(self.due as f64),
            chosen(self.seconds),
            chosen(self.load.warm_up_seconds),
            self.provenance
        ));
        let late = |percent| self.lateness.percentile(percent).map_or("unknown".to_string(), milliseconds);
        notes.push(format!(
            "By its own fault the generator sent late by: p50 {} ms, p99 {} ms, at most {} ms. Its thread was busy for {:.0} % \
             of the time.",
            late(50.0),
            late(99.0),
            late(100.0),
            100.0 * self.busy
        ));
        if self.waited_for_connection > 0 {
            notes.push(format!(
                "{} % of the requests found all {} connections busy and waited for one, which their latency contains. With \
                 more connections they would wait in the service.",
                significant(100.0 * self.waited_for_connection as f64 / self.due as f64),
                self.load.connections
            ));
        }
        if self.retried > 0 {
            notes.push(format!("{} requests were tried again.", chosen(self.retried as f64)));
        }
        if let Some(RetryAfter { answers, least, most }) = self.retry_after {
            notes
                .push(format!("{} answers said when to come back: after {least} to {most} s.", chosen(answers as f64)));
        }
        notes
    }

    /// Latency against how rare it is: p50, p90, p99 and so on, as far as the requests reach.
    ///
    /// # Errors
    /// As [`LoadRun::percentile`].
    pub fn figure(&self) -> Result<Figure> {
        let latencies = self.latencies_of(AnswerClass::Success)?;
        let rare = (1..=24).map(|step| 10_f64.powf(f64::from(step) / 4.0));
        let places: Vec<(f64, f64)> =
            rare.filter_map(|one_in| Some((one_in, latencies.percentile(100.0 - 100.0 / one_in).ok()?))).collect();
        let xs: Vec<f64> = places.iter().map(|(one_in, _)| *one_in).collect();
        let ys: Vec<Estimate> = places.iter().map(|(_, seconds)| Estimate::exact(1e3 * seconds)).collect();
        Figure::new("How rare is a slow answer?")
            .x_label("one request in so many is slower")
            .y_label("latency, ms")
            .log_x()
            .log_y()
            .points("successful requests", self.provenance, &xs, &ys)
    }

    /// Goodput over time.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was counted.
    pub fn goodput_figure(&self) -> Result<Figure> {
        let xs: Vec<f64> = (0..self.series.len()).map(|second| second as f64 + 0.5).collect();
        let ys: Vec<Estimate> = self.series.iter().map(|second| Estimate::exact(second.goodput_per_second)).collect();
        Figure::new("Successful answers over time")
            .x_label("seconds after the warm-up")
            .y_label("successful answers per second")
            .points("goodput", self.provenance, &xs, &ys)
    }

    /// The p99 of each second.
    ///
    /// # Errors
    /// [`Error::Worker`] when the generator could not keep up.
    pub fn p99_figure(&self) -> Result<Figure> {
        self.latencies_of(AnswerClass::Success)?;
        let places = self.series.iter().enumerate();
        let (xs, ys): (Vec<f64>, Vec<Estimate>) = places
            .filter_map(|(place, second)| Some((place as f64 + 0.5, Estimate::exact(1e3 * second.p99_seconds?))))
            .unzip();
        Figure::new("The p99 of each second").x_label("seconds after the warm-up").y_label("p99, ms").points(
            "p99",
            self.provenance,
            &xs,
            &ys,
        )
    }

    /// Shows the table and the figure of latencies below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
