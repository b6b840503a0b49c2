//! The result of asking for the time to the same loss.

use serde::{Deserialize, Serialize};

use super::scaling_run::ScalingPoint;
use super::time_to_loss::TimeToLoss;
use crate::display::Table;
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::judgement::{Claim, Prediction, Reveal, Verdict};
use crate::machine::Machine;
use crate::measure::{Estimate, Provenance};
use crate::model::Architecture;
use crate::training::TrainingRun;

/// "Just as much faster" counts as true from this share on, so that no belief dies of noise.
const CLOSE_ENOUGH: f64 = 0.9;

/// What some workers need to reach the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// How many workers, p.
    pub workers: usize,
    /// Rows that all workers together have in a step, B.
    pub rows_per_step: usize,
    /// Seconds of a step: measured for one worker, replayed for more.
    pub step_seconds: Estimate,
    /// How many times one worker's rows per second.
    pub throughput_speed_up: Estimate,
    /// Steps to the loss, one sample for each seed. None when a training did not reach it.
    pub steps: Option<Estimate>,
    /// How many trainings did not reach the loss within the allowed steps.
    pub missed: usize,
}

/// The result of [`TimeToLoss::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeToLossRun {
    /// What was asked for, with the baseline filled in.
    pub experiment: TimeToLoss,
    /// What the learner expected.
    pub prediction: Prediction,
    /// The machine that the step times come from.
    pub machine: Machine,
    /// One point for each number of workers, in order.
    pub points: Vec<LossPoint>,
}

impl LossPoint {
    pub(super) fn new(timing: &ScalingPoint, runs: &[TrainingRun]) -> Result<Self> {
        let reached: Vec<f64> = runs.iter().filter_map(|run| run.steps_to_target).map(|steps| steps as f64).collect();
        let missed = runs.len() - reached.len();
        Ok(Self {
            workers: timing.workers,
            rows_per_step: timing.workers * timing.rows_per_worker,
            step_seconds: timing.step_seconds.clone(),
            throughput_speed_up: timing.speed_up.clone(),
            steps: if missed == 0 { Some(Estimate::from_samples(reached)?) } else { None },
            missed,
        })
    }

    /// Steps times seconds of a step. None when a training did not reach the loss.
    pub fn seconds(&self) -> Option<Estimate> {
        Some(self.steps.as_ref()?.map(|steps| steps * self.step_seconds.median))
    }
}

impl TimeToLossRun {
    pub(super) fn new(
        experiment: TimeToLoss,
        prediction: Prediction,
        machine: Machine,
        points: Vec<LossPoint>,
    ) -> Self {
        Self { experiment, prediction, machine, points }
    }

    /// How many times as fast as one worker these workers reach the loss, compared seed by seed.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when these workers were not part of the run, or a training did not reach the loss.
    pub fn speed_up(&self, workers: usize) -> Result<Estimate> {
        let alone = self.seconds(1)?;
        Ok(alone.ratio(&self.seconds(workers)?))
    }

    /// The speed-up to the same loss over the speed-up in throughput: the share of the extra rows that was worth
    /// computing. 1 means that no row was wasted.
    ///
    /// # Errors
    /// As for [`TimeToLossRun::speed_up`].
    pub fn statistical_efficiency(&self, workers: usize) -> Result<Estimate> {
        let rows = |workers| {
            let point = self.point(workers)?;
            Ok::<_, Error>(self.steps(point)?.map(|steps| steps * point.rows_per_step as f64))
        };
        Ok(rows(1)?.ratio(&rows(workers)?))
    }

    /// The prediction beside the speed-up of the most workers.
    ///
    /// # Errors
    /// As for [`TimeToLossRun::speed_up`].
    pub fn reveal(&self) -> Result<Reveal> {
        Ok(self.prediction.reveal(&self.speed_up(self.experiment.most_workers())?))
    }

    /// Judges the belief that the loss is reached faster by as much as the throughput grows. Nine tenths are enough.
    ///
    /// # Errors
    /// As for [`TimeToLossRun::speed_up`].
    pub fn verdict(&self, belief: &str) -> Result<Verdict> {
        let claim = Claim::at_least("speed-up to the same loss over the speed-up in throughput", CLOSE_ENOUGH, "");
        let more = self.points.iter().filter(|point| point.workers > 1);
        let settings = more
            .map(|point| {
                let setting = format!("{} workers, {} rows in a step", point.workers, point.rows_per_step);
                Ok((setting, self.statistical_efficiency(point.workers)?, Provenance::Measured))
            })
            .collect::<Result<Vec<_>>>()?;
        let experiment = &self.experiment;
        Ok(Verdict::judge(belief, claim, settings)?
            .with_reveal(self.reveal()?)
            .condition(format!("link: {}", experiment.link))
            .condition(format!("{}, to a held-out loss of {}", experiment.data, experiment.target_loss))
            .condition(format!("{} seeds, learning rate {} at one worker", experiment.seeds, experiment.learning_rate))
            .condition(self.machine.to_string()))
    }

    /// Steps, seconds and both speed-ups for each number of workers.
    pub fn table(&self) -> Table {
        let experiment = &self.experiment;
        let columns = [
            "workers",
            "rows in a step",
            "steps to the loss",
            "ms per step",
            "seconds to the loss",
            "throughput, times one worker",
            "same loss, times as fast",
        ];
        let title = format!("Time to a held-out loss of {} over {}", experiment.target_loss, experiment.link);
        let mut table = Table::new(title, columns);
        for point in &self.points {
            let shown =
                |estimate: Option<Estimate>| estimate.map_or("not reached".to_string(), |value| value.to_string());
            table = table.row([
                point.workers.to_string(),
                point.rows_per_step.to_string(),
                shown(point.steps.clone()),
                point.step_seconds.map(|seconds| 1e3 * seconds).to_string(),
                shown(point.seconds()),
                point.throughput_speed_up.to_string(),
                shown(self.speed_up(point.workers).ok()),
            ]);
        }
        for point in self.points.iter().filter(|point| point.missed > 0) {
            table = table.note(format!(
                "{} of {} trainings with {} workers did not reach the loss within {} steps.",
                point.missed, experiment.seeds, point.workers, experiment.most_steps
            ));
        }
        table
            .note(format!(
                "Steps were counted by training on batches of that many rows, {} seeds; step times of more than one \
                 worker are {} ({}).",
                experiment.seeds,
                Provenance::Replayed,
                Provenance::Replayed.meaning()
            ))
            .note(format!("{} parameters, {}. {}.", experiment.model.parameters(), experiment.data, self.machine))
    }

    /// Both speed-ups against the number of workers.
    ///
    /// # Errors
    /// None in practice: every number was checked when it was measured.
    pub fn figure(&self) -> Result<Figure> {
        let workers: Vec<f64> = self.points.iter().map(|point| point.workers as f64).collect();
        let throughput: Vec<Estimate> = self.points.iter().map(|point| point.throughput_speed_up.clone()).collect();
        let reached: Vec<&LossPoint> =
            self.points.iter().filter(|point| self.speed_up(point.workers).is_ok()).collect();
        let same_loss = reached.iter().map(|point| self.speed_up(point.workers)).collect::<Result<Vec<_>>>()?;
        let reached: Vec<f64> = reached.iter().map(|point| point.workers as f64).collect();
        let medians = |values: &[Estimate]| -> Vec<f64> { values.iter().map(|value| value.median).collect() };
        Figure::new(format!("Throughput is not the goal: time to a loss of {}", self.experiment.target_loss))
            .x_label("workers")
            .y_label("times as fast as one worker")
            .points("rows per second", Provenance::Replayed, &workers, &throughput)?
            .line("rows per second", &workers, &medians(&throughput))?
            .points("to the same loss", Provenance::Replayed, &reached, &same_loss)?
            .line("to the same loss", &reached, &medians(&same_loss))?
            .line("p times", &workers, &workers)
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }

    fn point(&self, workers: usize) -> Result<&LossPoint> {
        self.points.iter().find(|point| point.workers == workers).ok_or_else(|| {
            Error::invalid(format!("{workers} workers were not part of this run; it had {:?}", self.experiment.workers))
        })
    }

    fn steps<'a>(&self, point: &'a LossPoint) -> Result<&'a Estimate> {
        point.steps.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "{} of {} trainings with {} workers did not reach a loss of {} within {} steps, so there is no time to \
                 it; use a higher .target_loss(..) or more .most_steps(..)",
                point.missed,
                self.experiment.seeds,
                point.workers,
                self.experiment.target_loss,
                self.experiment.most_steps
            ))
        })
    }

    fn seconds(&self, workers: usize) -> Result<Estimate> {
        let point = self.point(workers)?;
        Ok(self.steps(point)?.map(|steps| steps * point.step_seconds.median))
    }
}
