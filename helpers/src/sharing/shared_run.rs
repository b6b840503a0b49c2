//! What a shared training run gave.

use serde::{Deserialize, Serialize};

use super::SharedTraining;
use crate::display::{Table, significant};
use crate::error::Result;
use crate::figure::Figure;
use crate::machine::Machine;
use crate::training::Evaluation;

/// A held-out result on the way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimedEvaluation {
    /// Steps done before it.
    pub step: usize,
    /// Seconds of steps before it; looking at held-out rows does not count.
    pub seconds: f64,
    /// Loss and accuracy on held-out rows.
    pub held_out: Evaluation,
}

/// The result of [`SharedTraining::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedRun {
    /// What was run.
    pub training: SharedTraining,
    /// Where it was run.
    pub machine: Machine,
    /// Loss of each step before it, over the rows of all workers.
    pub losses: Vec<f64>,
    /// Held-out results before the first step and after every `evaluate_every` steps.
    pub evaluations: Vec<TimedEvaluation>,
    /// Seconds of all steps.
    pub seconds: f64,
    /// Bytes that each worker sent, with the parameter server as the last one.
    pub bytes_sent: Vec<u64>,
    /// With a parameter server, how many updates of other workers each gradient had missed.
    pub staleness: Vec<u32>,
    /// True when a loss stopped being a finite number.
    pub diverged: bool,
    /// The model's parameters at the end, in the order of the variables' names. Not stored with the rest.
    #[serde(skip)]
    pub parameters: Vec<f32>,
}

/// The parameters at a step, to be evaluated when no clock runs.
pub(super) struct Snapshot {
    pub(super) step: usize,
    pub(super) seconds: f64,
    pub(super) parameters: Vec<f32>,
}

/// What one worker saw.
#[derive(Default)]
pub(super) struct Log {
    /// Its own losses, step by step; nothing where it does not know them.
    pub(super) losses: Vec<f64>,
    /// Whether `losses` are means over all workers.
    pub(super) losses_are_means: bool,
    pub(super) evaluations: Vec<TimedEvaluation>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) seconds: f64,
    pub(super) bytes_sent: u64,
    pub(super) staleness: Vec<u32>,
}

impl SharedRun {
    /// Held-out loss at the end, in nats.
    pub fn loss(&self) -> f64 {
        self.evaluations.last().map_or(f64::INFINITY, |last| last.held_out.loss)
    }

    /// Share of held-out labels that were predicted correctly at the end, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.evaluations.last().map_or(0.0, |last| last.held_out.accuracy)
    }

    /// The first held-out result at or below this loss, with the steps and seconds that it took; none when the run ended
    /// before.
    pub fn reached(&self, loss: f64) -> Option<TimedEvaluation> {
        self.evaluations.iter().find(|at| at.held_out.loss <= loss).copied()
    }

    /// Mean number of other workers' updates that a gradient had missed, with a parameter server.
    pub fn mean_staleness(&self) -> Option<f64> {
        let count = self.staleness.len();
        (count > 0).then(|| self.staleness.iter().map(|missed| f64::from(*missed)).sum::<f64>() / count as f64)
    }

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let sent: u64 = self.bytes_sent.iter().sum();
        let steps = self.losses.len().max(1) as f64;
        let mut table = Table::new(format!("Training by {}", self.training), ["what", "value"])
            .row(["steps".to_string(), self.losses.len().to_string()])
            .row(["held-out loss, nats".to_string(), significant(self.loss())])
            .row(["held-out accuracy, %".to_string(), significant(100.0 * self.accuracy())])
            .row(["seconds in steps".to_string(), significant(self.seconds)])
            .row(["MB sent in a step, all workers".to_string(), significant(1e-6 * sent as f64 / steps)]);
        if let Some(missed) = self.mean_staleness() {
            table = table.row(["updates that a gradient missed, mean".to_string(), significant(missed)]);
        }
        let (threads, cores) = (self.training.threads(), self.machine.physical_cores);
        if threads > cores {
            table = table.note(format!(
                "{threads} threads took turns on {cores} cores, so the seconds are not those of {threads} machines; the \
                 losses are."
            ));
        }
        if self.diverged { table.note("The loss stopped being a number: the steps were too large.") } else { table }
    }

    /// The held-out loss against the seconds of steps.
    ///
    /// # Errors
    /// None in practice: only finite losses are kept.
    pub fn figure(&self) -> Result<Figure> {
        let seconds: Vec<f64> = self.evaluations.iter().map(|at| at.seconds).collect();
        let losses: Vec<f64> = self.evaluations.iter().map(|at| at.held_out.loss).collect();
        Figure::new(format!("Training by {}", self.training)).x_label("seconds in steps").y_label("loss, nats").line(
            "held-out rows",
            &seconds,
            &losses,
        )
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
