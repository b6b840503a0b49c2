//! How a data-parallel experiment is timed.
//!
//! All variants take turns: each row count on one thread, on several threads of one process, and on real
//! workers over the emulated link. Loading data is not part of a step. Nothing else is running while a variant is
//! timed, and each thread is tied to a core.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::data_parallel::DataParallel;
use super::scaling_run::{Baseline, ScalingPoint, ScalingRun};
use crate::communication::{Communicator, Replay, Synchronisation, Team, buckets};
use crate::data::{Batch, Dataset, Teacher};
use crate::device::Device;
use crate::error::Result;
use crate::interrupt::check_interrupt;
use crate::judgement::Prediction;
use crate::machine::{self, Machine};
use crate::measure::{Estimate, Provenance, interleaved_shown};
use crate::model::{Architecture, Model, Network};
use crate::sharing::GradientMean;
use crate::training::{Gradients, Optimiser, OptimiserState};

/// Small, so that hundreds of steps on the same rows don't drive the gradients towards zero.
const LEARNING_RATE: f64 = 1e-3;
/// One sample lasts about this long, so that it is well above the clock's resolution and the scheduler's slices.
const SAMPLE_SECONDS: f64 = 0.02;
/// Most steps in one sample.
const MOST_STEPS: f64 = 16.0;
/// A sample on real workers begins with a step that does not count, unless steps take longer than this: then
/// what a fresh thread pays once is small beside it.
const LONG_STEP_SECONDS: f64 = 0.1;
/// Real workers are run as long as all of them together stay within about this time; on a slow link more of them
/// add minutes and no insight.
const EMULATION_SECONDS: f64 = 8.0;
const WARMUPS: usize = 1;
/// Steps in which it is looked when gradients are ready.
const OVERLAPPED_STEPS: usize = 5;
/// Steps played for each sample of a replay.
const REPLAYED_STEPS: usize = 16;

/// A variant of the experiment: does its work once and returns the seconds of a step.
type Variant<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Times everything and assembles the result. `experiment` must have been checked and completed.
pub(super) fn measure(experiment: DataParallel, prediction: &Prediction) -> Result<ScalingRun> {
    let machine = Machine::detect();
    // A GPU has one queue of work, whichever thread fills it.
    let on_cpu = experiment.device == Device::Cpu;
    let pools = if on_cpu { thread_counts(machine.physical_cores) } else { vec![1] };
    let alone = Bench::new(&experiment, 1)?;
    let mut sweeps = Vec::new();
    for (index, &rows) in experiment.rows_per_worker.iter().enumerate() {
        sweeps.push(Sweep { index, rows, guess: alone.guess_seconds(index)?, steps: RefCell::new(Vec::new()) });
    }
    let emulated = emulated_workers(&experiment, &machine, &sweeps);
    let bench = emulated.last().map_or(Ok(alone), |most| Bench::new(&experiment, *most))?;
    let thread_pools = pools.iter().map(|threads| machine::threads_pool(*threads, 0)).collect::<Result<Vec<_>>>()?;
    let mut variants: Vec<Variant<'_>> = Vec::new();
    for sweep in &sweeps {
        for pool in &thread_pools {
            let bench = &bench;
            variants.push(Box::new(move || {
                let (index, count) = (sweep.index, sample_steps(sweep.guess));
                let seconds = pool.install(|| bench.steps(0, index, count))?;
                let mean = mean(&seconds);
                if pool.current_num_threads() == 1 {
                    sweep.steps.borrow_mut().push(seconds);
                }
                Ok(mean)
            }));
        }
        for &workers in &emulated {
            let (bench, experiment) = (&bench, &experiment);
            let team = Team::new(workers)?.algorithm(experiment.algorithm).over(&experiment.link)?;
            variants.push(Box::new(move || bench.team_step_seconds(&team, experiment, sweep, workers)));
        }
    }
    variants.push(Box::new(|| bench.packing_seconds()));
    let mut borrowed: Vec<&mut dyn FnMut() -> Result<f64>> = Vec::new();
    for variant in &mut variants {
        borrowed.push(variant.as_mut());
    }
    let ready_at = sweeps
        .iter()
        .map(|sweep| {
            let index = sweep.index;
            machine::core_pool(0)?.install(|| bench.ready_at(index, experiment.synchronisation))
        })
        .collect::<Result<Vec<_>>>()?;
    let run = |samples: &[Vec<f64>]| -> Result<ScalingRun> {
        let (baselines, points, packing_seconds) =
            assemble(&experiment, &pools, &emulated, &sweeps, &ready_at, samples)?;
        let (experiment, prediction, machine) = (experiment.clone(), prediction.clone(), machine.clone());
        Ok(ScalingRun { experiment, prediction, machine, baselines, points, packing_seconds })
    };
    let mut picture = |samples: &[Vec<f64>]| match run(samples) {
        Ok(run) if !run.points.is_empty() => run.figure().map(|figure| figure.svg()).unwrap_or_default(),
        _ => String::new(),
    };
    let estimates = interleaved_shown(experiment.repeats, WARMUPS, &mut borrowed, &mut picture)?;
    run(&estimates.into_iter().map(|estimate| estimate.samples).collect::<Vec<_>>())
}

/// Baselines, points and packing seconds from the samples of all variants, in their order. Row counts that were not
/// timed yet are left out.
fn assemble(
    experiment: &DataParallel,
    pools: &[usize],
    emulated: &[usize],
    sweeps: &[Sweep],
    ready_at: &[Vec<f64>],
    samples: &[Vec<f64>],
) -> Result<(Vec<Baseline>, Vec<ScalingPoint>, f64)> {
    let (packing, timed) = match samples.split_last() {
        Some((packing, timed)) if !packing.is_empty() => (Estimate::from_samples(packing.clone())?.median, timed),
        Some((_, timed)) => (0.0, timed),
        None => (0.0, samples),
    };
    let (mut baselines, mut points) = (Vec::new(), Vec::new());
    for (sweep, samples) in sweeps.iter().zip(timed.chunks(pools.len() + emulated.len())) {
        if samples.iter().any(Vec::is_empty) {
            continue;
        }
        let mut estimates = samples.iter().cloned().map(Estimate::from_samples).collect::<Result<Vec<_>>>()?;
        let of_workers = estimates.split_off(pools.len());
        let baseline = Baseline::new(sweep.rows, pools.iter().copied().zip(estimates).collect())?;
        points.push(ScalingPoint::new(1, Provenance::Measured, &baseline, baseline.one_thread.clone()));
        for (&workers, step) in emulated.iter().zip(of_workers) {
            points.push(ScalingPoint::new(workers, Provenance::Emulated, &baseline, step));
        }
        for &workers in experiment.workers.iter().filter(|workers| **workers > 1) {
            let messages = experiment.synchronisation.messages(&experiment.model);
            let replay = Replay::new(&experiment.link, experiment.algorithm, workers, &messages)
                .ready_at(&ready_at[sweep.index])?;
            let steps = &sweep.steps.borrow()[WARMUPS..];
            let step = Estimate::from_samples(replayed_samples(&replay, workers, steps, packing))?;
            points.push(ScalingPoint::new(workers, Provenance::Replayed, &baseline, step));
        }
        baselines.push(baseline);
    }
    points.sort_by_key(|point| (point.workers, point.rows_per_worker));
    Ok((baselines, points, packing))
}

/// Mean replayed step time of `workers`, one sample for each repeat of the measured `steps`.
///
/// A worker's step is drawn from all measured steps: the mean of the repeat, times how far a random step was
/// from the mean of its own repeat. So the noise that makes the others wait is the measured one, and slow
/// moments of the whole machine stay in their repeat.
fn replayed_samples(replay: &Replay, workers: usize, steps: &[Vec<f64>], packing: f64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(workers as u64);
    let deviations: Vec<f64> = steps
        .iter()
        .flat_map(|repeat| {
            let mean = mean(repeat);
            repeat.iter().map(move |step| step / mean)
        })
        .collect();
    steps
        .iter()
        .map(|repeat| {
            let usual = mean(repeat);
            let mut draw = || usual * deviations[random.random_range(0..deviations.len())] + packing;
            let compute: Vec<Vec<f64>> = (0..REPLAYED_STEPS).map(|_| (0..workers).map(|_| draw()).collect()).collect();
            mean(&replay.step_seconds(&compute))
        })
        .collect()
}

/// One row count of the experiment.
struct Sweep {
    index: usize,
    rows: usize,
    /// Seconds of a step, roughly.
    guess: f64,
    /// The single steps of each repeat on one thread.
    steps: RefCell<Vec<Vec<f64>>>,
}

/// The models and batches that are timed: one model for each worker, one batch for each worker and row count.
pub(super) struct Bench {
    networks: Vec<Network>,
    batches: Vec<Vec<Batch>>,
    /// One for each worker.
    optimisers: Vec<Mutex<OptimiserState>>,
}

impl Bench {
    pub(super) fn new(experiment: &DataParallel, workers: usize) -> Result<Self> {
        let rows = experiment.rows_per_worker.iter().copied().max().unwrap_or(1);
        let data = rows_for(&experiment.model, workers * rows)?;
        let mut networks = Vec::new();
        let mut batches = Vec::new();
        let mut optimisers = Vec::new();
        for worker in 0..workers {
            let network = experiment.model.build(0, &experiment.device)?.in_precision(experiment.precision)?;
            let own = |rows: &usize| data.batch_range(worker * rows, (worker + 1) * rows, network.device());
            batches.push(experiment.rows_per_worker.iter().map(own).collect::<Result<Vec<_>>>()?);
            optimisers.push(Mutex::new(Optimiser::sgd(LEARNING_RATE).start(&network)?));
            networks.push(network);
        }
        Ok(Self { networks, batches, optimisers })
    }

    /// Takes `count` steps of a lone worker and returns the seconds of each.
    pub(super) fn steps(&self, worker: usize, sweep: usize, count: usize) -> Result<Vec<f64>> {
        let (network, batch) = (&self.networks[worker], &self.batches[worker][sweep]);
        let mut optimiser = self.optimiser(worker);
        let mut seconds = Vec::with_capacity(count);
        for _ in 0..count {
            check_interrupt()?;
            let start = Instant::now();
            let (_, gradients) = Gradients::of(network, batch)?;
            optimiser.step(network, &gradients)?;
            network.synchronise()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    fn optimiser(&self, worker: usize) -> MutexGuard<'_, OptimiserState> {
        self.optimisers[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The quicker of two steps on one thread.
    fn guess_seconds(&self, sweep: usize) -> Result<f64> {
        let steps = machine::core_pool(0)?.install(|| self.steps(0, sweep, 2))?;
        Ok(steps.into_iter().fold(f64::INFINITY, f64::min))
    }

    /// A sample of the real workers of an experiment.
    fn team_step_seconds(&self, team: &Team, experiment: &DataParallel, sweep: &Sweep, workers: usize) -> Result<f64> {
        let guess = sweep.guess + experiment.communication_seconds(workers);
        self.team_steps(team, experiment.synchronisation, sweep.index, unrecorded_steps(guess), sample_steps(guess))
    }

    /// Mean seconds of `count` steps of real workers, after some that don't count: from when the last of them began to
    /// when the last had finished.
    pub(super) fn team_steps(
        &self,
        team: &Team,
        synchronisation: Synchronisation,
        sweep: usize,
        unrecorded: usize,
        count: usize,
    ) -> Result<f64> {
        let times = team.run(|worker| {
            let rank = worker.rank();
            let mut mean = GradientMean::new(synchronisation, None, worker)?;
            let (network, batch) = (&self.networks[rank], &self.batches[rank][sweep]);
            let mut optimiser = self.optimiser(rank);
            let mut step = || -> Result<()> {
                check_interrupt()?;
                let (_, gradients) = mean.of(network, batch)?;
                optimiser.step(network, &gradients)?;
                network.synchronise()
            };
            (0..unrecorded).try_for_each(|_| step())?;
            let start = Instant::now();
            (0..count).try_for_each(|_| step())?;
            let end = Instant::now();
            mean.finish()?;
            Ok((start, end))
        })?;
        let start = times.iter().map(|(start, _)| *start).max();
        let end = times.iter().map(|(_, end)| *end).max();
        let seconds = start.zip(end).map_or(0.0, |(start, end)| end.duration_since(start).as_secs_f64());
        Ok(seconds / count as f64)
    }

    /// Which share of a step has passed when each of its all-reduces can begin: all of it, unless they overlap with the
    /// pass. Of the median of a few steps.
    fn ready_at(&self, sweep: usize, synchronisation: Synchronisation) -> Result<Vec<f64>> {
        let (network, batch) = (&self.networks[0], &self.batches[0][sweep]);
        let Synchronisation::Overlapped { bytes } = synchronisation else {
            return Ok(vec![1.0; synchronisation.messages(&network.model()).len()]);
        };
        let elements: Vec<usize> = network.variables().iter().map(|(_, variable)| variable.elem_count()).collect();
        let buckets = buckets(bytes, &elements);
        let mut shares: Vec<Vec<f64>> = vec![Vec::new(); buckets.len()];
        for _ in 0..OVERLAPPED_STEPS {
            let start = Instant::now();
            let mut ready = vec![0.0; elements.len()];
            let (_, gradients) = Gradients::collected(network, |collect| {
                Gradients::handed_over(network, batch, 1.0, &mut |index, values| {
                    ready[index] = start.elapsed().as_secs_f64();
                    collect(index, values)
                })
            })?;
            self.optimiser(0).step(network, &gradients)?;
            network.synchronise()?;
            let all = start.elapsed().as_secs_f64();
            // A bucket is not sent before the one in front of it.
            let mut last = 0.0_f64;
            for (bucket, shares) in buckets.iter().zip(&mut shares) {
                last = bucket.iter().map(|index| ready[*index] / all).fold(last, f64::max);
                shares.push(last);
            }
        }
        shares.into_iter().map(|shares| Ok(Estimate::from_samples(shares)?.median)).collect()
    }

    /// Seconds to put gradients into one list of numbers and back, which a lone worker does not do.
    fn packing_seconds(&self) -> Result<f64> {
        let (network, batch) = (&self.networks[0], &self.batches[0][0]);
        let (_, mut gradients) = Gradients::of(network, batch)?;
        let start = Instant::now();
        let flat = gradients.to_flat()?;
        gradients.set_flat(flat)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Rows with as many columns as the model has inputs. How long a step takes depends on their shape alone.
fn rows_for(model: &Model, rows: usize) -> Result<Dataset> {
    if (model.columns(), model.classes()) == (Teacher::COLUMNS, Teacher::CLASSES) {
        return Teacher::new(rows).generate();
    }
    if model.predictions_per_row() > 1 {
        let (context, vocabulary) = (model.columns(), model.classes());
        let token = |index: usize| (7 * index % vocabulary) as u32;
        let sequences: Vec<_> = (0..rows).map(|row| (row..=row + context).map(token).collect()).collect();
        return Dataset::of_sequences("counting", context, vocabulary, &sequences);
    }
    let features = (0..rows * model.columns()).map(|index| (index as f32).sin()).collect();
    let labels = (0..rows).map(|row| (row % model.classes()) as u32).collect();
    Dataset::new("waves", model.columns(), model.classes(), features, labels)
}

/// The numbers of workers that run for real: at most one for each core, the smaller ones first, as long as time allows.
fn emulated_workers(experiment: &DataParallel, machine: &Machine, sweeps: &[Sweep]) -> Vec<usize> {
    // Workers that share a GPU would not be what a GPU for each is.
    if experiment.link.can_be_emulated().is_err() || experiment.device != Device::Cpu {
        return Vec::new();
    }
    let mut left = EMULATION_SECONDS;
    let with_own_core = experiment.workers.iter().copied().filter(|p| (2..=machine.physical_cores).contains(p));
    with_own_core
        .enumerate()
        .take_while(|(place, workers)| {
            let round: f64 = sweeps
                .iter()
                .map(|sweep| sweep.guess + experiment.communication_seconds(*workers))
                .map(|step| step * (sample_steps(step) + unrecorded_steps(step)) as f64)
                .sum();
            left -= round * (experiment.repeats + WARMUPS) as f64;
            *place == 0 || left > 0.0
        })
        .map(|(_, workers)| workers)
        .collect()
}

/// Steps at the beginning of a sample on real workers that don't count.
fn unrecorded_steps(step_seconds: f64) -> usize {
    usize::from(step_seconds < LONG_STEP_SECONDS)
}

/// Steps that make one sample when each takes this long.
fn sample_steps(step_seconds: f64) -> usize {
    (SAMPLE_SECONDS / step_seconds).ceil().clamp(1.0, MOST_STEPS) as usize
}

/// 1, 2, 4, … up to the number of cores, and that number itself.
fn thread_counts(cores: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|n| *n < cores).collect();
    counts.push(cores);
    counts
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
