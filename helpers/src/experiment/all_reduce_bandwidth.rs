//! How near an all-reduce between threads comes to what the memory can do.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::communication::{Algorithm, Communicator, Team};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::machine::Machine;
use crate::measure::{Estimate, interleaved};

const WARMUPS: usize = 2;
/// One sample is the mean of so many.
const TIMES: usize = 8;

/// Times an all-reduce between threads of this process beside plain copies of as many bytes.
///
/// To sum p lists of n bytes, each worker's list has to be read and its sum written: 2 p n bytes, as many as when each worker
/// copies n bytes. That copy, by all workers at once, is the bound. A real all-reduce reads some of the numbers twice.
///
/// ```
/// use onramp::prelude::*;
///
/// let run = AllReduceBandwidth::new(2, 1 << 20).samples(1).run()?;
/// assert!(run.share_of_bound().median > 0.0);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllReduceBandwidth {
    workers: usize,
    bytes: usize,
    algorithm: Algorithm,
    samples: usize,
}

/// The result of [`AllReduceBandwidth::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllReduceBandwidthRun {
    /// What was timed.
    pub experiment: AllReduceBandwidth,
    /// Seconds of an all-reduce.
    pub all_reduce_seconds: Estimate,
    /// Seconds in which all workers at once copy as many bytes.
    pub copy_seconds: Estimate,
}

impl AllReduceBandwidth {
    /// An all-reduce around a ring, 7 samples of each.
    pub fn new(workers: usize, bytes: usize) -> Self {
        Self { workers, bytes, algorithm: Algorithm::default(), samples: 7 }
    }

    /// By another algorithm.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How often both times are taken, in turn.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Takes the times.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for more workers than cores, fewer than 2 workers, less than one number or 0 samples;
    /// [`Error::Interrupted`] between two of them.
    pub fn run(&self) -> Result<AllReduceBandwidthRun> {
        let cores = Machine::detect().physical_cores;
        if self.workers < 2 || self.workers > cores {
            return Err(Error::invalid(format!(
                "an all-reduce between {} threads can't be held against the memory of this machine, which has {cores} \
                 cores; use from 2 workers to one for each core",
                self.workers
            )));
        }
        let elements = self.bytes / size_of::<f32>();
        if elements == 0 || self.samples == 0 {
            return Err(Error::invalid(format!(
                "{} samples of an all-reduce of {} bytes measure nothing; use at least 1, and at least 4 bytes",
                self.samples, self.bytes
            )));
        }
        let team = Team::new(self.workers)?.algorithm(self.algorithm);
        let mut all_reduce = || seconds(&team, elements, |worker, values, _| worker.all_reduce_sum(values));
        let mut copy = || {
            seconds(&team, elements, |_, values, others| {
                values.copy_from_slice(others);
                Ok(())
            })
        };
        let estimates = interleaved(self.samples, WARMUPS, &mut [&mut all_reduce, &mut copy])?;
        let [all_reduce_seconds, copy_seconds] = <[Estimate; 2]>::try_from(estimates)
            .map_err(|_| Error::invalid("two times were taken, but not two came back"))?;
        Ok(AllReduceBandwidthRun { experiment: *self, all_reduce_seconds, copy_seconds })
    }
}

impl AllReduceBandwidthRun {
    /// The copy's time over that of the all-reduce: 1 is the bound.
    pub fn share_of_bound(&self) -> Estimate {
        self.copy_seconds.ratio(&self.all_reduce_seconds)
    }

    /// The run in a few lines.
    pub fn table(&self) -> Table {
        let AllReduceBandwidth { workers, bytes, algorithm, .. } = self.experiment;
        let milliseconds = |seconds: &Estimate| seconds.map(|seconds| 1e3 * seconds).to_string();
        let moved = 2.0 * (workers * bytes) as f64;
        let rate = self.copy_seconds.map(|seconds| 1e-9 * moved / seconds);
        Table::new("An all-reduce between threads", ["what", "value"])
            .row(["workers".to_string(), workers.to_string()])
            .row(["bytes of each worker".to_string(), bytes.to_string()])
            .row([format!("{algorithm} all-reduce, ms"), milliseconds(&self.all_reduce_seconds)])
            .row(["copy of as many bytes by each worker, ms".to_string(), milliseconds(&self.copy_seconds)])
            .row(["the copy's GB/s, read and written".to_string(), rate.to_string()])
            .row(["share of the bound".to_string(), self.share_of_bound().to_string()])
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

/// Mean seconds of `work` done by all workers at once, each with two lists of its own: from when the first began to when the
/// last had finished.
fn seconds(
    team: &Team,
    elements: usize,
    work: impl Fn(&mut dyn Communicator, &mut [f32], &[f32]) -> Result<()> + Sync,
) -> Result<f64> {
    check_interrupt()?;
    let times = team.run(|mut worker| {
        // Sums of ones stay finite for much longer than this; zeros might be memory that nobody has written yet.
        let (mut values, others) = (vec![1.0; elements], vec![1.0; elements]);
        work(&mut worker, &mut values, &others)?;
        worker.barrier()?;
        let start = Instant::now();
        (0..TIMES).try_for_each(|_| work(&mut worker, &mut values, &others))?;
        Ok((start, Instant::now()))
    })?;
    let (starts, ends): (Vec<Instant>, Vec<Instant>) = times.into_iter().unzip();
    let all = starts.into_iter().min().zip(ends.into_iter().max()).map(|(start, end)| end - start);
    Ok(all.unwrap_or_default().as_secs_f64() / TIMES as f64)
}
