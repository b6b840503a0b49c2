//! The result of a data-parallel experiment, and what can be asked of it.

use serde::{Deserialize, Serialize};

use super::cost::StepCost;
use super::data_parallel::DataParallel;
use crate::communication::Link;
use crate::error::{Error, Result};
use crate::judgement::{Claim, Prediction, Reveal, Verdict};
use crate::law::{self, Fit, HalfEfficiency, Law, Point};
use crate::machine::Machine;
use crate::measure::{Estimate, Provenance};
use crate::model::Architecture;

/// "p times as fast" counts as true from this share of p on, so that no belief dies of measuring noise.
const CLOSE_ENOUGH: f64 = 0.9;

/// What one process does alone, for one number of rows in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Rows in a step.
    pub rows: usize,
    /// Seconds of a step on one thread: the baseline of every speed-up.
    pub one_thread: Estimate,
    /// Seconds of a step in the quickest single process: what has to be beaten before workers pay.
    pub best_process: Estimate,
    /// How many threads the quickest process had.
    pub best_threads: usize,
}

/// The throughput of some workers with some rows each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingPoint {
    /// How many workers, p.
    pub workers: usize,
    /// Rows that each worker has in a step, b.
    pub rows_per_worker: usize,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// Seconds of a step.
    pub step_seconds: Estimate,
    /// Rows per second of all workers together.
    pub throughput: Estimate,
    /// How many times one worker's throughput.
    pub speed_up: Estimate,
    /// The speed-up over the number of workers: the share of the step in which a worker computes.
    pub efficiency: Estimate,
}

/// The result of [`DataParallel::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingRun {
    /// What was asked for, with the baseline and the question filled in.
    pub experiment: DataParallel,
    /// What the learner expected.
    pub prediction: Prediction,
    /// The machine that the numbers come from.
    pub machine: Machine,
    /// What one process does alone, for each number of rows.
    pub baselines: Vec<Baseline>,
    /// All results, by workers and rows.
    pub points: Vec<ScalingPoint>,
    /// Seconds that a worker needs to pack its gradients into a message and unpack the mean.
    pub packing_seconds: f64,
}

impl Baseline {
    /// `processes` holds threads and step seconds, one thread first.
    pub(super) fn new(rows: usize, processes: Vec<(usize, Estimate)>) -> Result<Self> {
        let best = processes.iter().min_by(|a, b| a.1.median.total_cmp(&b.1.median)).cloned();
        let one_thread = processes.into_iter().next().map(|(_, seconds)| seconds);
        match one_thread.zip(best) {
            Some((one_thread, (best_threads, best_process))) => {
                Ok(Self { rows, one_thread, best_process, best_threads })
            }
            None => {
                Err(Error::TooFewPoints(format!("no process was timed with {rows} rows; measure at least one thread")))
            }
        }
    }
}

impl ScalingPoint {
    pub(super) fn new(workers: usize, provenance: Provenance, baseline: &Baseline, step_seconds: Estimate) -> Self {
        let p = workers as f64;
        let efficiency = baseline.one_thread.ratio(&step_seconds);
        Self {
            workers,
            rows_per_worker: baseline.rows,
            provenance,
            throughput: step_seconds.map(|seconds| p * baseline.rows as f64 / seconds),
            speed_up: efficiency.map(|share| p * share),
            step_seconds,
            efficiency,
        }
    }
}

impl ScalingRun {
    /// The link between the workers.
    pub fn link(&self) -> &Link {
        &self.experiment.link
    }

    /// The largest number of workers.
    pub fn most_workers(&self) -> usize {
        self.points.iter().map(|point| point.workers).max().unwrap_or(1)
    }

    /// The result for these workers and rows; the one that is closest to reality where there are several:
    /// measured before emulated before replayed.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when this was not part of the experiment.
    pub fn point(&self, workers: usize, rows_per_worker: usize) -> Result<&ScalingPoint> {
        let mut found: Vec<&ScalingPoint> = self.points.iter().collect();
        found.retain(|point| (point.workers, point.rows_per_worker) == (workers, rows_per_worker));
        found.into_iter().min_by_key(|point| closeness(point.provenance)).ok_or_else(|| {
            Error::invalid(format!(
                "{workers} workers with {rows_per_worker} rows each were not part of this run; it had {:?} workers and \
                 {:?} rows",
                self.experiment.workers, self.experiment.rows_per_worker
            ))
        })
    }

    /// The replayed result for these workers and rows; the measured one for one worker.
    pub(super) fn replayed_point(&self, workers: usize, rows_per_worker: usize) -> Result<&ScalingPoint> {
        let replayed = self.points.iter().find(|point| {
            (point.workers, point.rows_per_worker, point.provenance) == (workers, rows_per_worker, Provenance::Replayed)
        });
        replayed.map_or_else(|| self.point(workers, rows_per_worker), Ok)
    }

    /// The fixed part and the speed of one worker's step.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] for fewer than 3 row counts.
    pub fn cost(&self) -> Result<StepCost> {
        StepCost::fit(&self.experiment.model, &self.baselines)
    }

    /// Seconds of a step's all-reduce by the algorithm's formula, T.
    pub fn communication_seconds(&self, workers: usize) -> f64 {
        self.experiment.communication_seconds(workers)
    }

    /// b* = (T - s0) C / F for the most workers: from how many rows per worker on at least half of a step
    /// should be computing. It comes from one worker's step times and the link alone, not from any run of several
    /// workers.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] for fewer than 3 row counts.
    pub fn half_efficiency_rows_predicted(&self) -> Result<Estimate> {
        self.cost()?.half_efficiency_rows(self.communication_seconds(self.most_workers()))
    }

    /// Fits a law to the efficiency of the most workers, with b* as it was predicted beside the fitted one.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] when the law has more parameters than these points can determine.
    pub fn fit(&self, law: impl Law) -> Result<Fit> {
        let workers = self.most_workers();
        let points = self
            .baselines
            .iter()
            .map(|baseline| {
                let point = self.point(workers, baseline.rows)?;
                Ok(Point::new(baseline.rows as f64, point.efficiency.clone(), point.provenance))
            })
            .collect::<Result<Vec<_>>>()?;
        let fit = law::fit(&law, &points)?;
        if fit.derived("b*").is_err() {
            return Ok(fit);
        }
        let formula = "(T - s0) C / F, from one worker's steps and the link";
        fit.compare("b*", self.half_efficiency_rows_predicted()?, formula)
    }

    /// The prediction beside the result that it was about.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`] when the prediction is in rows and there are too few row counts to find b*.
    pub fn reveal(&self) -> Result<Reveal> {
        let (workers, rows) = self.experiment.question();
        let result = match self.prediction.unit() {
            "rows" => {
                let fit = self.fit(HalfEfficiency)?;
                let half = fit.derived("b*")?;
                Estimate { median: half.value, low: half.low, high: half.high, samples: vec![half.value] }
            }
            "%" => self.point(workers, rows)?.efficiency.map(|share| 100.0 * share),
            _ => self.point(workers, rows)?.speed_up.clone(),
        };
        Ok(self.prediction.reveal(&result))
    }

    /// Judges the belief that p workers are p times as fast, for the most workers and every number of rows.
    /// Nine tenths of p are enough.
    ///
    /// # Errors
    /// As for [`ScalingRun::reveal`].
    pub fn verdict(&self, belief: &str) -> Result<Verdict> {
        let workers = self.most_workers();
        let claim = Claim::at_least(
            &format!("throughput of {workers} workers over that of one"),
            CLOSE_ENOUGH * workers as f64,
            "x",
        );
        let settings = self
            .baselines
            .iter()
            .map(|baseline| {
                let point = self.point(workers, baseline.rows)?;
                Ok((format!("{} rows per worker", baseline.rows), point.speed_up.clone(), point.provenance))
            })
            .collect::<Result<Vec<_>>>()?;
        let verdict = Verdict::judge(belief, claim, settings)?
            .with_reveal(self.reveal()?)
            .condition(format!("link: {}", self.link()))
            .condition(format!("a model of {} parameters", self.experiment.model.parameters()))
            .condition(format!("{} all-reduce, {}", self.experiment.algorithm, self.experiment.synchronisation))
            .condition(self.machine.to_string());
        Ok(verdict)
    }

    /// For each worker and row count that was both emulated and replayed: the replayed step time over the
    /// emulated one. Near 1 the replay can be trusted for more workers, too.
    pub fn replay_check(&self) -> Vec<(usize, usize, Estimate)> {
        let of = |provenance| self.points.iter().filter(move |point| point.provenance == provenance);
        of(Provenance::Replayed)
            .filter_map(|replayed| {
                let same = |point: &&ScalingPoint| {
                    (point.workers, point.rows_per_worker) == (replayed.workers, replayed.rows_per_worker)
                };
                let emulated = of(Provenance::Emulated).find(same)?;
                let ratio = replayed.step_seconds.ratio(&emulated.step_seconds);
                Some((replayed.workers, replayed.rows_per_worker, ratio))
            })
            .collect()
    }

    /// The fewest workers that are surely faster than the quickest single process with the same rows in a step
    /// (McSherry, Isard and Murray 2015 call it COST). None when no number of workers tried was.
    pub fn workers_to_beat_one_process(&self, rows_per_worker: usize) -> Option<usize> {
        let baseline = self.baselines.iter().find(|baseline| baseline.rows == rows_per_worker)?;
        let best = baseline.best_process.map(|seconds| rows_per_worker as f64 / seconds);
        let beats =
            |workers: &usize| self.point(*workers, rows_per_worker).is_ok_and(|point| point.throughput.low > best.high);
        self.experiment.workers.iter().copied().filter(|workers| *workers > 1).find(beats)
    }
}

/// How close to reality a number is; smaller is closer.
fn closeness(provenance: Provenance) -> u8 {
    match provenance {
        Provenance::Measured => 0,
        Provenance::Emulated => 1,
        Provenance::Replayed => 2,
        Provenance::Published => 3,
    }
}
