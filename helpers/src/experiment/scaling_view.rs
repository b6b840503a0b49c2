//! How the result of a data-parallel experiment is shown.

use super::scaling_run::{ScalingPoint, ScalingRun};
use crate::display::{Table, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::measure::{Estimate, Provenance};
use crate::model::Architecture;

/// Below this, the real workers took so much longer than the replay says that a reader should know why.
const TRUSTED_RATIO: f64 = 0.8;

impl ScalingRun {
    /// Efficiency for each number of rows (down) and workers (across), with the two baselines.
    pub fn table(&self) -> Table {
        let series = self.series();
        let threads = self.machine.physical_cores;
        let mut columns = vec![
            "rows per worker".to_string(),
            "one thread, rows/s".to_string(),
            match threads {
                1 => "best process, rows/s".to_string(),
                _ => format!("best process of 1 to {threads} threads, rows/s"),
            },
        ];
        columns.extend(series.iter().map(|(workers, provenance)| {
            format!("{workers} workers, efficiency % {} {}", provenance.sign(), provenance.label())
        }));
        let title = format!("Efficiency of data-parallel training over {}", self.link());
        let mut table = Table::new(title, columns);
        for baseline in &self.baselines {
            let rows = baseline.rows as f64;
            let mut cells = vec![
                baseline.rows.to_string(),
                baseline.one_thread.map(|seconds| rows / seconds).to_string(),
                format!(
                    "{} ({})",
                    significant(rows / baseline.best_process.median),
                    threads_text(baseline.best_threads)
                ),
            ];
            cells.extend(series.iter().map(|(workers, provenance)| {
                let point = self
                    .points_of(*workers, *provenance)
                    .into_iter()
                    .find(|point| point.rows_per_worker == baseline.rows);
                point.map_or(String::new(), |point| point.efficiency.map(|share| 100.0 * share).to_string())
            }));
            table = table.row(cells);
        }
        self.notes().into_iter().fold(table, Table::note)
    }

    /// Efficiency against rows per worker, one series for each number of workers and origin.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was measured.
    pub fn figure(&self) -> Result<Figure> {
        let mut figure = Figure::new(format!("How much of a step is computing, over {}", self.link()))
            .x_label("rows per worker and step, b")
            .y_label("efficiency, share of the step")
            .log_x();
        for (workers, provenance) in self.series() {
            let name = format!("{workers} workers, {provenance}");
            figure = self.add(figure, &name, workers, provenance, |point| point.efficiency.clone())?;
        }
        if let Ok(half) = self.half_efficiency_rows_predicted() {
            figure = figure.vertical(half.median, format!("predicted b* = {}", significant(half.median)));
        }
        Ok(figure)
    }

    /// Rows per second against rows per worker, with the two baselines: one thread, and the best single process.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was measured.
    pub fn throughput_figure(&self) -> Result<Figure> {
        let mut figure = Figure::new(format!("Throughput over {}", self.link()))
            .x_label("rows per worker and step, b")
            .y_label("rows per second")
            .log_x()
            .log_y();
        let rows: Vec<f64> = self.baselines.iter().map(|baseline| baseline.rows as f64).collect();
        let best: Vec<Estimate> = self
            .baselines
            .iter()
            .map(|baseline| baseline.best_process.map(|seconds| baseline.rows as f64 / seconds))
            .collect();
        figure = self.add(figure, "one thread", 1, Provenance::Measured, |point| point.throughput.clone())?;
        figure = figure.points("best single process", Provenance::Measured, &rows, &best)?;
        for (workers, provenance) in self.series() {
            let name = format!("{workers} workers, {provenance}");
            figure = self.add(figure, &name, workers, provenance, |point| point.throughput.clone())?;
        }
        Ok(figure)
    }

    /// Shows the table and both figures below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        for figure in [self.figure(), self.throughput_figure()].into_iter().flatten() {
            figure.evcxr_display();
        }
    }

    /// Numbers of workers above one with their origins, in order.
    fn series(&self) -> Vec<(usize, Provenance)> {
        let mut series: Vec<(usize, Provenance)> = Vec::new();
        for point in self.points.iter().filter(|point| point.workers > 1) {
            if !series.contains(&(point.workers, point.provenance)) {
                series.push((point.workers, point.provenance));
            }
        }
        series
    }

    fn points_of(&self, workers: usize, provenance: Provenance) -> Vec<&ScalingPoint> {
        self.points.iter().filter(|point| (point.workers, point.provenance) == (workers, provenance)).collect()
    }

    fn add(
        &self,
        figure: Figure,
        name: &str,
        workers: usize,
        provenance: Provenance,
        value: impl Fn(&ScalingPoint) -> Estimate,
    ) -> Result<Figure> {
        let points = self.points_of(workers, provenance);
        let xs: Vec<f64> = points.iter().map(|point| point.rows_per_worker as f64).collect();
        let ys: Vec<Estimate> = points.into_iter().map(value).collect();
        let medians: Vec<f64> = ys.iter().map(|estimate| estimate.median).collect();
        let figure = figure.points(name, provenance, &xs, &ys)?;
        // Emulated and replayed points lie on each other where the replay is right; one line is enough.
        if provenance == Provenance::Emulated { Ok(figure) } else { figure.line(name, &xs, &medians) }
    }

    fn notes(&self) -> Vec<String> {
        let experiment = &self.experiment;
        let mut notes = vec![format!(
            "{} parameters, {} all-reduce, {}. Median and 95 % interval of {} repeats on {}.",
            experiment.model.parameters(),
            experiment.algorithm,
            experiment.synchronisation,
            experiment.repeats,
            self.machine
        )];
        for provenance in Provenance::ALL {
            if self.points.iter().any(|point| point.provenance == provenance) {
                notes.push(format!("{} {provenance}: {}.", provenance.sign(), provenance.meaning()));
            }
        }
        if let Err(reason) = self.link().can_be_emulated() {
            notes.push(format!("Nothing is emulated: {reason}."));
        }
        if let Ok(cost) = self.cost() {
            notes.push(format!(
                "One worker: a step has a fixed part of {} ms and computes at {} GFLOP/s.",
                cost.fixed_seconds.map(|seconds| 1e3 * seconds),
                cost.flops_per_second.map(|rate| 1e-9 * rate)
            ));
        }
        notes.extend(self.replay_note());
        if let Some(baseline) = self.baselines.last() {
            let rows = baseline.rows;
            notes.push(match self.workers_to_beat_one_process(rows) {
                Some(workers) => {
                    format!("With {rows} rows each, {workers} workers are the first to beat the best single process.")
                }
                None => format!("With {rows} rows each, no number of workers tried beats the best single process."),
            });
        }
        notes
    }

    /// How the replay compares with the emulation, where both exist.
    fn replay_note(&self) -> Option<String> {
        let check = self.replay_check();
        let (workers, ..) = check.last()?;
        let ratios = || check.iter().map(|(_, _, ratio)| ratio.median);
        let smallest = ratios().fold(f64::INFINITY, f64::min);
        let mut note = format!(
            "Replayed over emulated step time, where both exist (up to {workers} workers): {} to {}.",
            significant(smallest),
            significant(ratios().fold(0.0, f64::max))
        );
        if smallest < TRUSTED_RATIO {
            note += " The real workers were slowed down by something that separate machines don't share, such as another \
                     program on these cores; close it and run the cell again.";
        }
        Some(note)
    }
}

fn threads_text(threads: usize) -> String {
    if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") }
}
