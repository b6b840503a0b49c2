//! A training run shared by several workers.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Sharing;
use super::data_parallel::{EveryStep, LocalSteps};
use super::hogwild::{Hogwild, SharedParameters};
use super::parameter_server::{Client, serve};
use super::pipeline::Pipeline;
use super::shared_run::{Log, SharedRun, Snapshot, TimedEvaluation};
use super::tensor::Tensor;
use super::worker::{Worker, no_checkpoints};
use crate::communication::{Algorithm, Communicator, Link, Team, ThreadCommunicator};
use crate::data::Split;
use crate::device::Device;
use crate::display::{Progress, significant};
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::machine::{self, Machine};
use crate::model::Network;
use crate::training::checkpoint::{Checkpoint, Place, describe};
use crate::training::row_order::RowOrder;
use crate::training::trainer::named;
use crate::training::{Checkpoints, Evaluated, Gradients, Training, evaluate};

/// Nobody is taken for dead earlier than this.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(1500);
/// A worker is taken for dead when it is silent for as long as this many steps take, alone on a core.
const PATIENT_STEPS: f64 = 50.0;

/// A [`Training`] whose steps several workers share, each a thread tied to a core of its own as far as there are enough.
///
/// `rows_per_step` are the rows of all workers together: with [`Sharing::every_step`] any number of workers gives the
/// parameters of one.
///
/// ```no_run
/// use onramp::prelude::*;
/// use onramp::sharing::{SharedTraining, Sharing};
///
/// let training = Training::new(Mlp::new(256)).rows_per_step(64);
/// let often = SharedTraining::new(training.clone(), 2).over(&Link::wan()).run()?;
/// let seldom = SharedTraining::new(training, 2).over(&Link::wan()).sharing(Sharing::LocalSteps { steps: 16 }).run()?;
/// println!("{:?} and {:?} s to a loss of 1", often.reached(1.0), seldom.reached(1.0));
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedTraining {
    #[serde(flatten)]
    training: Training,
    workers: usize,
    sharing: Sharing,
    link: Option<Link>,
    algorithm: Algorithm,
    straggler: Option<(usize, f64)>,
    patience: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoints: Option<Checkpoints>,
}

impl SharedTraining {
    /// This training by so many workers that average their gradients in every step, through memory.
    pub fn new(training: Training, workers: usize) -> Self {
        Self {
            training,
            workers,
            sharing: Sharing::every_step(),
            link: None,
            algorithm: Algorithm::default(),
            straggler: None,
            patience: None,
            checkpoints: None,
        }
    }

    /// How the workers share a step.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The emulated link between the workers; memory without it.
    pub fn over(mut self, link: &Link) -> Self {
        self.link = Some(link.clone());
        self
    }

    /// How sums over all workers are made.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Slows one worker down: it takes `factor` times as long for its own part of a step.
    pub fn straggler(mut self, rank: usize, factor: f64) -> Self {
        self.straggler = Some((rank, factor));
        self
    }

    /// How long a silent worker is waited for. Without this, 1.5 seconds or as long as 50 steps take alone on a core,
    /// whichever is longer.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Saves where the run is, and goes on from the file where there is one. Only for [`Sharing::every_step`], whose
    /// workers are all in the same state.
    pub fn saving(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Threads that take part.
    pub(super) fn threads(&self) -> usize {
        self.workers + self.sharing.servers()
    }

    /// Loads the data and trains.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the description can't be run, with what would do; [`Error::Worker`] when a worker
    /// panics, stops or is silent for too long, with the last checkpoint if there is one; [`Error::Interrupted`]
    /// between two steps; [`Error::Data`] when the data can't be read.
    pub fn run(&self) -> Result<SharedRun> {
        let data = self.training.data.load(self.training.seed)?;
        self.run_on(&data)
    }

    /// Trains on data that is already loaded.
    ///
    /// # Errors
    /// As for [`SharedTraining::run`].
    pub fn run_on(&self, data: &Split) -> Result<SharedRun> {
        self.validate(data)?;
        let saved = self.saved()?;
        self.train(data, saved.as_ref()).map_err(|error| self.with_last_checkpoint(error))
    }

    fn train(&self, data: &Split, saved: Option<&Checkpoint>) -> Result<SharedRun> {
        let training = &self.training;
        let network = training.network()?;
        let looked = Instant::now();
        let first = TimedEvaluation { step: 0, seconds: 0.0, held_out: evaluate(&network, &data.held_out)? };
        let look_seconds = looked.elapsed().as_secs_f64();
        let mut team = Team::new(self.threads())?.algorithm(self.algorithm);
        team = team.patience(self.patience.map_or_else(|| self.usual_patience(&network, data, look_seconds), Ok)?);
        if let Some(link) = &self.link {
            team = team.over(link)?;
        }
        if let Some((rank, factor)) = self.straggler {
            team = team.straggler(rank, factor)?;
        }
        let shared = match self.sharing {
            Sharing::Hogwild => Some(SharedParameters::new(training)?),
            _ => None,
        };
        let logs = team.run(|mut communicator| {
            communicator.barrier()?;
            if communicator.rank() == self.workers {
                let mut log = serve(training, &mut communicator)?;
                log.bytes_sent = communicator.bytes_sent();
                return Ok(log);
            }
            self.work(data, communicator, shared.as_ref(), saved)
        })?;
        self.result(&network, data, first, logs)
    }

    /// One worker's whole run.
    fn work(
        &self,
        data: &Split,
        communicator: ThreadCommunicator,
        shared: Option<&SharedParameters>,
        saved: Option<&Checkpoint>,
    ) -> Result<Log> {
        let training = &self.training;
        let rank = communicator.rank();
        let mut order = RowOrder::new(data.train.rows(), training.rows_per_step, training.seed);
        let mut worker = self.worker(data, communicator, shared)?;
        let mut log = Log::default();
        if let Some((checkpoint, replica)) = saved.zip(worker.replica()) {
            let parameters: Vec<f32> = checkpoint.variables.iter().flat_map(|(_, values)| values).copied().collect();
            replica.network.set_parameters(&parameters)?;
            replica.optimiser.restore(checkpoint.steps, &checkpoint.moments)?;
            order.go_to(checkpoint.place.pass_seed, checkpoint.place.next_row);
            log.losses = checkpoint.losses.clone();
            log.evaluations = timed(checkpoint);
            log.seconds = checkpoint.place.seconds;
        }
        let mut unsaved = log.losses.len();
        let mut progress = (rank == 0).then(|| Progress::new(format!("training by {self}"), Some(training.steps)));
        for step in log.losses.len() + 1..=training.steps {
            check_interrupt()?;
            let rows = order.next_rows();
            let start = Instant::now();
            let loss = worker.step(rows)?;
            if let Some(replica) = worker.replica() {
                replica.network.synchronise()?;
            }
            log.seconds += start.elapsed().as_secs_f64();
            log.losses.extend(loss);
            if step.is_multiple_of(training.evaluate_every) || step == training.steps {
                let parameters = worker.parameters()?.filter(|_| rank == 0);
                log.snapshots.extend(parameters.map(|parameters| Snapshot { step, seconds: log.seconds, parameters }));
            }
            if let Some(checkpoints) = &self.checkpoints
                && (step.is_multiple_of(checkpoints.every) || step == training.steps)
            {
                let share = 1.0 / self.workers as f32;
                let recent = log.losses[unsaved..].iter().map(|loss| *loss as f32).collect();
                let means = worker.sum(recent)?.into_iter().map(|sum| f64::from(sum * share));
                log.losses.splice(unsaved.., means);
                log.losses_are_means = true;
                unsaved = log.losses.len();
                if rank == 0 {
                    self.save(checkpoints, &mut *worker, &mut log, &order, data)?;
                }
            }
            if let Some(progress) = &mut progress {
                if progress.is_due() {
                    progress.note(format!("loss {}", significant(log.losses.last().copied().unwrap_or(f64::NAN))));
                }
                progress.advance(1);
            }
        }
        log.bytes_sent = worker.finish()?.bytes_sent();
        Ok(log)
    }

    fn worker<'a>(
        &'a self,
        data: &'a Split,
        communicator: ThreadCommunicator,
        shared: Option<&'a SharedParameters>,
    ) -> Result<Box<dyn Worker + 'a>> {
        let (training, rows) = (&self.training, &data.train);
        Ok(match (self.sharing, shared) {
            (Sharing::EveryStep { synchronisation, compression }, _) => {
                Box::new(EveryStep::new(training, rows, synchronisation, compression, communicator)?)
            }
            (Sharing::LocalSteps { steps }, _) => Box::new(LocalSteps::new(training, rows, steps, communicator)?),
            (Sharing::ParameterServer, _) => Box::new(Client::new(training, rows, communicator)?),
            (Sharing::Tensor, _) => Box::new(Tensor::new(training, rows, communicator)?),
            (Sharing::Pipeline { micro_batches }, _) => {
                Box::new(Pipeline::new(training, rows, micro_batches, communicator)?)
            }
            (Sharing::Hogwild, Some(shared)) => Box::new(Hogwild::new(training, rows, shared, communicator)?),
            (Sharing::Hogwild, None) => return Err(Error::invalid("Hogwild's workers need shared parameters")),
        })
    }

    fn save(
        &self,
        checkpoints: &Checkpoints,
        worker: &mut dyn Worker,
        log: &mut Log,
        order: &RowOrder,
        data: &Split,
    ) -> Result<()> {
        let Some(replica) = worker.replica() else { return Err(no_checkpoints(self.sharing)) };
        let parameters = replica.network.parameters()?;
        let snapshots = std::mem::take(&mut log.snapshots);
        log.evaluations.extend(evaluated(&replica.network, data, &snapshots)?);
        replica.network.set_parameters(&parameters)?;
        let checkpoint = Checkpoint {
            steps: log.losses.len(),
            variables: named(&self.training.model, &parameters),
            moments: replica.optimiser.moments()?,
            losses: log.losses.clone(),
            evaluations: log.evaluations.iter().map(|at| Evaluated { step: at.step, held_out: at.held_out }).collect(),
            description: describe(&self.without_checkpoints())?,
            place: Place {
                pass_seed: order.seed,
                next_row: order.next,
                seconds: log.seconds,
                evaluated_after: log.evaluations.iter().map(|at| at.seconds).collect(),
            },
        };
        checkpoint.save(&checkpoints.path)
    }

    /// What decides how the run goes.
    fn without_checkpoints(&self) -> Self {
        Self { checkpoints: None, patience: None, ..self.clone() }
    }

    /// Where the last run was stopped.
    fn saved(&self) -> Result<Option<Checkpoint>> {
        match &self.checkpoints {
            Some(checkpoints) if checkpoints.path.exists() => {
                let checkpoint = Checkpoint::load(&checkpoints.path)?;
                checkpoint.check_fits(&self.without_checkpoints(), &checkpoints.path)?;
                Ok(Some(checkpoint))
            }
            _ => Ok(None),
        }
    }

    /// Says from where the run can go on.
    pub(crate) fn with_last_checkpoint(&self, error: Error) -> Error {
        let (Error::Worker(reason), Some(checkpoints)) = (&error, &self.checkpoints) else { return error };
        let path = checkpoints.path.display();
        Error::Worker(match Checkpoint::load(&checkpoints.path) {
            Ok(checkpoint) => format!(
                "{reason}. The last checkpoint is {path}, after step {} of {}; run this again to go on from there",
                checkpoint.steps, self.training.steps
            ),
            Err(_) => format!("{reason}. There is no checkpoint yet: {path} would be the first"),
        })
    }

    fn result(&self, network: &Network, data: &Split, first: TimedEvaluation, logs: Vec<Log>) -> Result<SharedRun> {
        let bytes_sent = logs.iter().map(|log| log.bytes_sent).collect();
        let seconds = logs.iter().map(|log| log.seconds).fold(0.0, f64::max);
        let losses = mean_losses(&logs);
        let (mut evaluations, mut parameters, mut staleness) = (vec![first], Vec::new(), Vec::new());
        for mut log in logs {
            evaluations.extend(log.evaluations.iter().filter(|at| at.step > 0));
            evaluations.extend(evaluated(network, data, &log.snapshots)?);
            staleness.append(&mut log.staleness);
            if let Some(last) = log.snapshots.pop() {
                parameters = last.parameters;
            }
        }
        if parameters.is_empty() {
            // The last snapshot was saved and evaluated, or the run was over before it began.
            parameters = self.saved()?.map_or_else(Vec::new, |checkpoint| {
                checkpoint.variables.into_iter().flat_map(|(_, values)| values).collect()
            });
        }
        let diverged =
            losses.iter().any(|loss| !loss.is_finite()) || evaluations.iter().any(|at| !at.held_out.loss.is_finite());
        evaluations.retain(|at| at.held_out.loss.is_finite());
        let (training, machine) = (self.clone(), Machine::detect());
        let losses = losses.into_iter().take_while(|loss| loss.is_finite()).collect();
        Ok(SharedRun { training, machine, losses, evaluations, seconds, bytes_sent, staleness, diverged, parameters })
    }

    /// Long enough for the slowest worker's share of a step and for a look at the held-out rows meanwhile.
    fn usual_patience(&self, network: &Network, data: &Split, look_seconds: f64) -> Result<Duration> {
        let rows = self.training.rows_per_step.min(data.train.rows());
        let batch = data.train.batch_range(0, rows, network.device())?;
        let step = |_| -> Result<f64> {
            let start = Instant::now();
            Gradients::of(network, &batch)?;
            Ok(start.elapsed().as_secs_f64())
        };
        let quicker = machine::core_pool(0)?.install(|| (0..2).map(step).collect::<Result<Vec<_>>>())?;
        let step = quicker.into_iter().fold(f64::INFINITY, f64::min);
        let slowness = self.straggler.map_or(1.0, |(_, factor)| factor);
        let seconds = PATIENT_STEPS * step * slowness + 10.0 * look_seconds;
        // A slowness that no clock can hold is as good as an hour.
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600)).max(SHORTEST_PATIENCE))
    }

    fn validate(&self, data: &Split) -> Result<()> {
        let training = &self.training;
        training.validate(&data.train)?;
        if self.workers == 0 {
            return Err(Error::invalid("a run by 0 workers trains nothing; use at least 1"));
        }
        if training.micro_batches != 1 {
            return Err(Error::invalid(format!(
                "{} micro-batches of a lone worker don't go with shared training; leave micro_batches(..) out, or use \
                 Sharing::Pipeline",
                training.micro_batches
            )));
        }
        if training.target_loss.is_some() {
            return Err(Error::invalid(
                "a shared run can't stop at a loss: it is looked at when the run is over; leave stop_at_loss(..) out and \
                 ask the run when it reached(..) that loss",
            ));
        }
        self.sharing.validate(&training.model, training.rows_per_step, &training.optimiser, self.workers)?;
        if training.device != Device::Cpu && !self.sharing.divides_rows() {
            return Err(Error::invalid(format!(
                "{} runs on the CPU only, and the {} was asked for; use Device::Cpu, or Sharing::every_step()",
                self.sharing, training.device
            )));
        }
        match (&self.link, self.sharing) {
            (Some(link), Sharing::Hogwild) => {
                return Err(Error::invalid(format!(
                    "Hogwild's workers share one memory, so no link {link} can be between them; leave over(..) out, or \
                     use Sharing::ParameterServer"
                )));
            }
            (Some(link), _) => link.can_be_emulated()?,
            _ => {}
        }
        match (&self.checkpoints, self.sharing) {
            (Some(Checkpoints { every: 0, .. }), _) => {
                Err(Error::invalid("a checkpoint every 0 steps is never written; use at least 1, such as 100"))
            }
            (None, _) | (Some(_), Sharing::EveryStep { compression: None, .. }) => Ok(()),
            (Some(_), way) => Err(no_checkpoints(way)),
        }
    }
}

impl fmt::Display for SharedTraining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.workers == 1 { "worker" } else { "workers" };
        write!(f, "{} {plural}: {}", self.workers, self.sharing)?;
        self.link.as_ref().map_or(Ok(()), |link| write!(f, " over {link}"))
    }
}

/// The held-out results of snapshots. Leaves the network with the parameters of the last one.
fn evaluated(network: &Network, data: &Split, snapshots: &[Snapshot]) -> Result<Vec<TimedEvaluation>> {
    let look = |snapshot: &Snapshot| -> Result<TimedEvaluation> {
        network.set_parameters(&snapshot.parameters)?;
        let held_out = evaluate(network, &data.held_out)?;
        Ok(TimedEvaluation { step: snapshot.step, seconds: snapshot.seconds, held_out })
    };
    snapshots.iter().map(look).collect()
}

/// A checkpoint's evaluations with their times.
fn timed(checkpoint: &Checkpoint) -> Vec<TimedEvaluation> {
    let pairs = checkpoint.evaluations.iter().zip(&checkpoint.place.evaluated_after);
    pairs.map(|(at, seconds)| TimedEvaluation { step: at.step, seconds: *seconds, held_out: at.held_out }).collect()
}

/// The mean over those workers that know their loss.
fn mean_losses(logs: &[Log]) -> Vec<f64> {
    if let Some(log) = logs.iter().find(|log| log.losses_are_means) {
        return log.losses.clone();
    }
    let known: Vec<&Vec<f64>> = logs.iter().map(|log| &log.losses).filter(|losses| !losses.is_empty()).collect();
    let steps = known.iter().map(|losses| losses.len()).min().unwrap_or(0);
    (0..steps).map(|step| known.iter().map(|losses| losses[step]).sum::<f64>() / known.len() as f64).collect()
}
