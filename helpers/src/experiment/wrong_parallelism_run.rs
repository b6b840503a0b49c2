//! What the right way and each mistake in parallel training ended with.

use serde::{Deserialize, Serialize};

use super::mistake::Mistake;
use super::wrong_parallelism::WrongParallelism;
use crate::display::{Table, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::judgement::{Prediction, Reveal};
use crate::training::Evaluation;

/// One run, right or wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The mistake; none is the right way.
    pub mistake: Option<Mistake>,
    /// How far the first step's averaged gradient is from the one of a single worker on all the rows together:
    /// length of the difference over length of the right one.
    pub gradient_error: f64,
    /// How far apart the workers' models are at the end, at most: length of the difference to worker 0's parameters
    /// over their length. Replicas that stay equal have 0; none when the weights are no longer finite.
    pub drift: Option<f64>,
    /// Mean loss over the rows of each step. Shorter than the steps when the loss stopped being a finite number.
    pub losses: Vec<f64>,
    /// Loss and accuracy of worker 0's model on held-out rows; none when the weights are no longer finite.
    pub held_out: Option<Evaluation>,
}

/// The result of [`WrongParallelism::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongParallelismRun {
    /// What was asked for.
    pub experiment: WrongParallelism,
    /// What the learner expected.
    pub prediction: Prediction,
    /// The right way first, then the mistakes.
    pub attempts: Vec<Attempt>,
}

impl WrongParallelismRun {
    /// The run with this mistake; the right way for none.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the mistake was not part of the run.
    pub fn attempt(&self, mistake: Option<Mistake>) -> Result<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.mistake == mistake).ok_or_else(|| {
            let name = mistake.map_or("the right way".to_string(), |mistake| mistake.to_string());
            Error::invalid(format!("this run did not try {name}; add it with .mistakes([..])"))
        })
    }

    /// The prediction beside the mistake that ended with the lowest held-out accuracy.
    pub fn reveal(&self) -> Reveal {
        let accuracy = |attempt: &&Attempt| attempt.held_out.map_or(0.0, |held_out| held_out.accuracy);
        let wrong = self.attempts.iter().filter(|attempt| attempt.mistake.is_some());
        let worst = wrong.min_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
        self.prediction.reveal_choice(&worst.map_or("none".to_string(), Attempt::name))
    }

    /// What each run ended with.
    pub fn table(&self) -> Table {
        let columns = [
            "parallel training",
            "first gradient off by, %",
            "workers' models apart by, %",
            "last loss, nats",
            "held-out accuracy, %",
            "what goes wrong",
        ];
        let title = format!("{} workers, {} steps", self.experiment.workers, self.experiment.steps);
        let mut table = Table::new(title, columns);
        // Rounding leaves a difference far below a thousandth of a percent.
        let share = |value: Option<f64>| match value {
            None => "no number".to_string(),
            Some(value) if value < 1e-5 => "0".to_string(),
            Some(value) => significant(100.0 * value),
        };
        for attempt in &self.attempts {
            table = table.row([
                attempt.name(),
                share(Some(attempt.gradient_error)),
                share(attempt.drift),
                match attempt.losses.last() {
                    Some(last) if attempt.losses.len() == self.experiment.steps => significant(*last),
                    _ => format!("no number after {} steps", attempt.losses.len()),
                },
                share(attempt.held_out.map(|held_out| held_out.accuracy)),
                attempt.mistake.map_or("nothing", Mistake::explanation).to_string(),
            ]);
        }
        table
    }

    /// The loss of each run against the steps.
    ///
    /// # Errors
    /// None in practice: only finite losses are kept.
    pub fn figure(&self) -> Result<Figure> {
        let mut figure = Figure::new("Four ways to train in parallel, one of them right")
            .x_label("steps")
            .y_label("loss, nats")
            .log_y();
        for attempt in &self.attempts {
            let steps: Vec<f64> = (0..attempt.losses.len()).map(|step| step as f64).collect();
            figure = figure.line(attempt.name(), &steps, &attempt.losses)?;
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

impl Attempt {
    /// The mistake in words, or `right`.
    pub fn name(&self) -> String {
        self.mistake.map_or("right".to_string(), |mistake| mistake.to_string())
    }
}
