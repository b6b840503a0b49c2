//! What workers that share one machine cost each other.

use serde::{Deserialize, Serialize};

use super::measurement::Bench;
use super::step_time::SAMPLE_SECONDS;
use super::{DataParallel, Experiment, Outcome, StepTime, in_fresh_process};
use crate::communication::{Synchronisation, Team};
use crate::device::{Device, Precision};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::measure::{Estimate, interleaved};
use crate::model::Model;

/// The first round starts the program from the disk.
const WARMUPS: usize = 1;
/// Each process takes its time so often, in the hope that the others still run then.
const SAMPLES_OF_A_PROCESS: usize = 3;
/// Steps of a team that don't count.
const UNRECORDED_STEPS: usize = 2;

/// Compares one worker alone with several that share the machine: as independent processes, and as data-parallel threads
/// that average their gradients in each step.
///
/// The processes show what the machine itself takes from each worker (its memory and its power serve all cores), the
/// threads what communication takes on top of that. On a GPU all processes share the one card, and no threads run.
///
/// ```no_run
/// use onramp::prelude::*;
///
/// let run = SideBySide::new(Mlp::new(256), 2).rows(512).run()?;
/// println!("{} of the throughput of independent processes", run.kept_by_threads().unwrap());
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SideBySide {
    model: Model,
    workers: usize,
    rows: usize,
    samples: usize,
    synchronisation: Synchronisation,
    #[serde(default)]
    device: Device,
    #[serde(default)]
    precision: Precision,
}

/// The result of [`SideBySide::run`]: rows per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideBySideRun {
    /// What was timed.
    pub experiment: SideBySide,
    /// One worker in a process of its own, with nothing beside it.
    pub alone: Estimate,
    /// All independent processes together, at the same time.
    pub processes: Estimate,
    /// All data-parallel threads together; none on a GPU.
    pub threads: Option<Estimate>,
}

impl SideBySide {
    /// Steps of 64 rows on each worker, all gradients in one all-reduce, 7 samples.
    pub fn new(model: impl Into<Model>, workers: usize) -> Self {
        Self {
            model: model.into(),
            workers,
            rows: 64,
            samples: 7,
            synchronisation: Synchronisation::default(),
            device: Device::best(),
            precision: Precision::F32,
        }
    }

    /// Rows in each worker's step.
    pub fn rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// How often each time is taken, in turn.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// How the threads average their gradients.
    pub fn synchronisation(mut self, synchronisation: Synchronisation) -> Self {
        self.synchronisation = synchronisation;
        self
    }

    /// Where the models live. Without this, on the GPU if there is one.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// In which numbers the passes compute.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Takes the times. The processes are `onramp-worker`s.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for fewer than 2 workers, more than cores, an empty model or 0 rows or samples;
    /// [`Error::Worker`] when a process or a thread fails; [`Error::Interrupted`] between two times.
    pub fn run(&self) -> Result<SideBySideRun> {
        let cores = Machine::detect().physical_cores;
        if self.workers < 2 || self.workers > cores || self.samples == 0 {
            return Err(Error::invalid(format!(
                "{} samples of {} workers can't be timed side by side on {cores} cores; use at least 1 sample, and from \
                 2 workers to one for each core",
                self.samples, self.workers
            )));
        }
        self.synchronisation.validate()?;
        let experiment = DataParallel::new(self.model).rows_per_worker([self.rows]);
        let experiment = experiment.device(self.device).precision(self.precision);
        let team = Team::new(self.workers)?;
        let guess = self.step().samples(1).run()?.seconds.median;
        let steps = (SAMPLE_SECONDS / guess).ceil().max(1.0) as usize;
        let bench = match self.device {
            Device::Cpu => Some(Bench::new(&experiment, self.workers)?),
            Device::Cuda { .. } => None,
        };
        let mut alone = || self.processes(1);
        let mut processes = || self.processes(self.workers);
        let mut threads = || match &bench {
            Some(bench) => {
                let seconds = bench.team_steps(&team, self.synchronisation, 0, UNRECORDED_STEPS, steps)?;
                Ok((self.workers * self.rows) as f64 / seconds)
            }
            None => Ok(0.0),
        };
        let rates = interleaved(self.samples, WARMUPS, &mut [&mut alone, &mut processes, &mut threads])?;
        let [alone, processes, threads] = <[Estimate; 3]>::try_from(rates)
            .map_err(|_| Error::invalid("three rates were measured, but not three came back"))?;
        let threads = (self.device == Device::Cpu).then_some(threads);
        Ok(SideBySideRun { experiment: *self, alone, processes, threads })
    }

    fn step(&self) -> StepTime {
        StepTime::new(self.model).rows(self.rows).device(self.device).precision(self.precision)
    }

    /// Rows per second of that many processes at the same time.
    fn processes(&self, count: usize) -> Result<f64> {
        let rate = |core: usize| -> Result<f64> {
            let step = Experiment::StepTime(self.step().samples(SAMPLES_OF_A_PROCESS).first_core(core));
            match in_fresh_process(&step)? {
                Outcome::StepTime(run) => Ok(self.rows as f64 / run.seconds.median),
                other => {
                    Err(Error::Worker(format!("a worker was asked for a step's time and sent {}", other.to_json()?)))
                }
            }
        };
        let rates: Vec<Result<f64>> = std::thread::scope(|scope| {
            let rate = &rate;
            let workers: Vec<_> = (0..count).map(|core| scope.spawn(move || rate(core))).collect();
            let gone = || Err(Error::Worker("a thread that waits for a worker panicked".to_string()));
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| gone())).collect()
        });
        rates.into_iter().sum()
    }
}

impl SideBySideRun {
    /// How many times one worker's throughput all independent processes have together.
    pub fn speed_up_of_processes(&self) -> Estimate {
        self.processes.ratio(&self.alone)
    }

    /// The share of the independent processes' throughput that the data-parallel threads keep: what communication leaves.
    pub fn kept_by_threads(&self) -> Option<Estimate> {
        self.threads.as_ref().map(|threads| threads.ratio(&self.processes))
    }

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let SideBySide { model, workers, rows, device, precision, .. } = self.experiment;
        let title = format!("{workers} workers side by side: {model}, {rows} rows each, {precision} on the {device}");
        let columns = ["what", "rows/s", "times one alone"];
        let line = |what: String, rate: &Estimate| [what, rate.to_string(), rate.ratio(&self.alone).to_string()];
        let table = Table::new(title, columns)
            .row(line("one worker alone".to_string(), &self.alone))
            .row(line(format!("{workers} independent processes"), &self.processes));
        match (&self.threads, self.kept_by_threads()) {
            (Some(threads), Some(kept)) => table
                .row(line(format!("{workers} data-parallel threads"), threads))
                .note(format!("The threads keep {kept} of what the processes reach.")),
            _ => table,
        }
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}
