//! The queue in front of a model, and the thread that takes batches from it.
//!
//! Requests wait in a queue of bounded length; one that finds it full is refused at once, so that a server with too much to do
//! answers those that it takes on in time (load shedding). The thread takes as many as are there, up to the cap, and may
//! wait a moment for more. What is too late, or was given up by its client, is thrown away unseen: work for nobody
//! would take the time of those who still wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::work::{Scores, Work};
use crate::error::{Error, Result};
use crate::machine;

/// The weight of the last batch in the mean time of a row.
const SMOOTHING: f64 = 0.1;

/// When a batch is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batching {
    /// Rows in a batch at most; a single request may have more.
    pub(crate) cap: usize,
    /// From the arrival of the first on.
    pub(crate) wait: Duration,
    /// Requests that wait at most.
    pub(crate) queue_bound: usize,
}

/// Why a request got no scores.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// The queue is full; it will have been worked off by then.
    Full { retry_after: Duration },
    /// Its deadline passed while it waited.
    Late,
    /// The model failed.
    Failed(String),
    /// The server ends.
    Ending,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What is told of each batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) rows: usize,
    /// That the model took.
    pub(crate) seconds: f64,
}

struct Job {
    rows: Vec<f32>,
    count: usize,
    arrived: Instant,
    deadline: Instant,
    answer: oneshot::Sender<Result<Scores, Refusal>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    rows: usize,
    /// A thread waits for a job.
    idle: bool,
    ending: bool,
    /// Smoothed over the last batches.
    seconds_per_row: f64,
}

struct Shared {
    batching: Batching,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The way to the thread. When it goes, the thread finishes what waits, and ends.
pub(crate) struct Batcher(Arc<Shared>);

impl Batcher {
    /// Starts the thread on a pool of `threads`, for matrix products that share their work.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] when the system gives no thread.
    pub(crate) fn start(
        work: Arc<Work>,
        threads: usize,
        batching: Batching,
        watch: impl Fn(Batch) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared { batching, queue: Mutex::new(Queue::default()), changed: Condvar::new() });
        let pool = machine::free_threads_pool(threads)?;
        let its = shared.clone();
        pool.spawn(move || its.work(&work, watch));
        Ok(Self(shared))
    }

    /// Puts rows into the queue.
    ///
    /// # Errors
    /// [`Refusal::Full`] and [`Refusal::Ending`].
    pub(crate) fn submit(
        &self,
        rows: Vec<f32>,
        count: usize,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<Scores, Refusal>>, Refusal> {
        let (answer, receiver) = oneshot::channel();
        let mut queue = self.0.lock();
        self.0.admit(&queue)?;
        queue.rows += count;
        queue.jobs.push_back(Job { rows, count, arrived: Instant::now(), deadline, answer });
        if queue.idle {
            self.0.changed.notify_one();
        }
        Ok(receiver)
    }

    /// Whether a request would be taken now: asked before its body is read.
    ///
    /// # Errors
    /// As for [`Batcher::submit`].
    pub(crate) fn would_take(&self) -> Result<(), Refusal> {
        self.0.admit(&self.0.lock())
    }

    /// Requests that wait.
    pub(crate) fn length(&self) -> usize {
        self.0.lock().jobs.len()
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.0.lock().ending = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here can fail half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, queue: &Queue) -> Result<(), Refusal> {
        if queue.ending {
            return Err(Refusal::Ending);
        }
        if queue.jobs.len() >= self.batching.queue_bound {
            let seconds = queue.seconds_per_row * queue.rows as f64;
            return Err(Refusal::Full { retry_after: Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)) });
        }
        Ok(())
    }

    fn work(&self, work: &Work, watch: impl Fn(Batch)) {
        let mut scratch = work.scratch();
        while let Some(mut jobs) = self.next_batch() {
            let start = Instant::now();
            let counts: Vec<usize> = jobs.iter().map(|job| job.count).collect();
            let rows = match &mut jobs[..] {
                [one] => std::mem::take(&mut one.rows),
                _ => jobs.iter().flat_map(|job| &job.rows).copied().collect(),
            };
            let scores = work.score(&rows, &counts, &mut scratch, start);
            let batch = Batch { rows: counts.iter().sum(), seconds: start.elapsed().as_secs_f64() };
            {
                let per_row = batch.seconds / batch.rows.max(1) as f64;
                let mut queue = self.lock();
                let before = if queue.seconds_per_row == 0.0 { per_row } else { queue.seconds_per_row };
                queue.seconds_per_row = before + SMOOTHING * (per_row - before);
            }
            watch(batch);
            match scores {
                Ok(scores) => jobs.into_iter().zip(scores).for_each(|(job, scores)| {
                    // A client that went away meanwhile has no use for it.
                    let _ = job.answer.send(Ok(scores));
                }),
                Err(cause) => jobs.into_iter().for_each(|job| {
                    let _ = job.answer.send(Err(Refusal::Failed(cause.to_string())));
                }),
            }
        }
    }

    /// The next jobs that somebody still waits for; none at the end.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        loop {
            let Some(first) = queue.jobs.front() else {
                if queue.ending {
                    return None;
                }
                queue.idle = true;
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle = false;
                continue;
            };
            let until = first.arrived + self.batching.wait;
            let left = until.saturating_duration_since(Instant::now());
            if queue.rows < self.batching.cap && !left.is_zero() && !queue.ending {
                queue.idle = true;
                queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
                queue.idle = false;
                continue;
            }
            let jobs = self.take(&mut queue);
            if !jobs.is_empty() {
                return Some(jobs);
            }
        }
    }

    fn take(&self, queue: &mut Queue) -> Vec<Job> {
        let (mut jobs, mut rows, now) = (Vec::new(), 0, Instant::now());
        while let Some(job) = queue.jobs.pop_front() {
            if rows > 0 && rows + job.count > self.batching.cap {
                queue.jobs.push_front(job);
                break;
            }
            queue.rows -= job.count;
            if job.answer.is_closed() {
                continue;
            }
            if job.deadline <= now {
                let _ = job.answer.send(Err(Refusal::Late));
                continue;
            }
            rows += job.count;
            jobs.push(job);
        }
        jobs
    }
}
