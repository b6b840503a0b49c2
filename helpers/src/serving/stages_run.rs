//! What the stages took, and what a faster one gained.

use serde::{Deserialize, Serialize};

use super::stages::{Stage, Stages};
use crate::display::{Table, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::machine::Machine;
use crate::measure::{Estimate, Provenance};

/// One stage before anything is faster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Which.
    pub stage: Stage,
    /// Seconds for one batch, measured on one core.
    pub seconds: Estimate,
}

/// Seconds of one way to do all stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WayTimes {
    /// For all rows before, measured.
    pub before: Estimate,
    /// The same with the faster stage.
    pub after: Estimate,
    /// For all rows before, by the law, from the stages' times.
    pub predicted_before: f64,
    /// How many times as fast the law says that it becomes.
    pub predicted_gain: f64,
}

impl WayTimes {
    pub(super) fn new(before: Estimate, after: Estimate, predicted: [f64; 2]) -> Self {
        let [predicted_before, predicted_after] = predicted;
        Self { before, after, predicted_before, predicted_gain: predicted_before / predicted_after }
    }

    /// How many times as fast it became, compared round by round.
    pub fn gain(&self) -> Estimate {
        self.before.ratio(&self.after)
    }
}

/// The result of [`Stages::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagesRun {
    /// What was run.
    pub experiment: Stages,
    /// Each stage before anything is faster, in order.
    pub stages: Vec<StageTime>,
    /// One stage after the other, on one core.
    pub serial: WayTimes,
    /// Each stage on a thread of its own.
    pub pipelined: WayTimes,
    /// The machine.
    pub machine: Machine,
}

impl StagesRun {
    /// The slowest stage.
    pub fn bottleneck(&self) -> Stage {
        let slowest = self.stages.iter().max_by(|one, other| one.seconds.median.total_cmp(&other.seconds.median));
        slowest.map_or(Stage::Read, |slowest| slowest.stage)
    }

    /// True when the slowest stage sets the pipeline's pace, so that making another one faster gains nothing; false when the
    /// cores do, so that less work anywhere helps.
    pub fn bottleneck_sets_the_pace(&self) -> bool {
        let seconds = || self.stages.iter().map(|stage| stage.seconds.median);
        seconds().fold(0.0, f64::max) >= seconds().sum::<f64>() / self.machine.physical_cores as f64
    }

    /// The stages, and both ways before and after.
    pub fn table(&self) -> Table {
        let Stages { rows, batch_rows, trains, chosen, factor, .. } = self.experiment;
        let columns = ["", "belongs to", "before, ms", "after, ms", "gain", "predicted gain"];
        let mut table = Table::new(format!("{} made {factor} times faster", chosen.label()), columns);
        for stage in &self.stages {
            let faster = if stage.stage == chosen {
                significant(1e3 * stage.seconds.median / factor as f64)
            } else {
                String::new()
            };
            table = table.row([
                format!("{}, a batch", stage.stage.label()),
                stage.stage.belongs_to(trains).to_string(),
                stage.seconds.map(|seconds| 1e3 * seconds).to_string(),
                faster,
            ]);
        }
        for (name, way) in [("one after the other", &self.serial), ("as a pipeline", &self.pipelined)] {
            table = table.row([
                format!("{name}, all rows"),
                String::new(),
                way.before.map(|seconds| 1e3 * seconds).to_string(),
                way.after.map(|seconds| 1e3 * seconds).to_string(),
                way.gain().to_string(),
                significant(way.predicted_gain),
            ]);
        }
        let pace = if self.bottleneck_sets_the_pace() {
            format!("The slowest stage, {}, sets the pipeline's pace.", self.bottleneck().label())
        } else {
            "No stage is as long as all of them together over the cores, so the cores set the pipeline's pace."
                .to_string()
        };
        table.note(pace).note(format!(
            "{rows} rows in batches of {batch_rows}; the faster stage does its work {factor} times less often. Times \
                 are {}. {}.",
            Provenance::Measured,
            self.machine
        ))
    }

    /// Rows per second of both ways, before and after, with what the law says.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn figure(&self) -> Result<Figure> {
        let rows = self.experiment.rows as f64;
        let rate = |seconds: &Estimate| seconds.map(|seconds| rows / seconds);
        let mut figure =
            Figure::new(format!("{} made {} times faster", self.experiment.chosen.label(), self.experiment.factor))
                .x_label("speed of the stage, times")
                .y_label("rows per second");
        let speeds = [1.0, self.experiment.factor as f64];
        for (name, way) in [("one after the other", &self.serial), ("as a pipeline", &self.pipelined)] {
            let law = [rows / way.predicted_before, rows / way.predicted_before * way.predicted_gain];
            figure = figure
                .points(name, Provenance::Measured, &speeds, &[rate(&way.before), rate(&way.after)])?
                .line(name, &speeds, &law)?;
        }
        Ok(figure)
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
