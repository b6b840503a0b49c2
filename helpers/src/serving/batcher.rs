//! The queue in front of a model, and the worker that takes batches from it.
//!
//! Requests wait in a queue of bounded length; one that finds it full is refused at once, so that a server with too much to do
//! answers those that it takes on in time (load shedding). The worker takes as many as are there, up to the cap, and may
//! wait a moment for more. What is too late, or was given up by its client, is thrown away unseen: work for nobody
//! would take the time of those who still wait.
//!
//! The worker has a thread of its own, so that connections are served while a batch is computed. A server with a single
//! core has nothing to gain by that, and would pay for each change between the threads: there the worker takes turns with
//! the connections on their thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle, RuntimeFlavor};
use tokio::sync::{Notify, oneshot};

use super::work::{Scores, Work};
use crate::error::{Error, Result};
use crate::machine;

/// The weight of the last batch in the mean time of a row.
const SMOOTHING: f64 = 0.1;
/// That the worker computes at least before the connections on its thread have their turn, unless its queue is empty before.
/// Shorter turns answer the first of several requests sooner; in longer ones the parameters stay in the core's cache. When the
/// connections' turns are longer, because there is more to do than can be done, so are the worker's: refusing must not take
/// the time of what was taken on.
const TURN: Duration = Duration::from_micros(500);

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
    ending: bool,
    /// Smoothed over the last batches.
    seconds_per_row: f64,
}

struct Shared {
    batching: Batching,
    queue: Mutex<Queue>,
    changed: Notify,
}

/// The way to the worker. When it goes, the worker finishes what waits, and ends.
pub(crate) struct Batcher(Arc<Shared>);

impl Batcher {
    /// Starts the worker, whose matrix products are shared by so many threads. To be called within a runtime.
    ///
    /// # Errors
    /// [`Error::Worker`] and [`Error::Io`] when the system gives no thread or no clock.
    pub(crate) fn start(
        work: Arc<Work>,
        threads: usize,
        batching: Batching,
        watch: impl Fn(Batch) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared { batching, queue: Mutex::new(Queue::default()), changed: Notify::new() });
        let (its, connections) = (shared.clone(), Handle::current());
        if threads == 1 && work.is_computed() && connections.runtime_flavor() == RuntimeFlavor::CurrentThread {
            let pool = machine::this_thread_pool()?;
            connections.spawn(async move {
                its.work(&work, watch).await;
                drop(pool);
            });
        } else {
            let own = runtime::Builder::new_current_thread().enable_time().build();
            let own = own.map_err(|cause| Error::io("starting a clock for batches", cause))?;
            let pool = machine::free_threads_pool(threads)?;
            pool.spawn(move || own.block_on(its.work(&work, watch)));
        }
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
        drop(queue);
        self.0.changed.notify_one();
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
        self.0.changed.notify_one();
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

    async fn work(&self, work: &Work, watch: impl Fn(Batch)) {
        let mut scratch = work.scratch();
        let (mut turn, mut turn_length) = (Instant::now(), TURN);
        while let Some(mut jobs) = self.next_batch().await {
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
            if turn.elapsed() > turn_length {
                let end = Instant::now();
                tokio::task::yield_now().await;
                turn = Instant::now();
                turn_length = TURN.max(turn - end);
            }
        }
    }

    /// The next jobs that somebody still waits for; none at the end.
    async fn next_batch(&self) -> Option<Vec<Job>> {
        loop {
            let fill_until = {
                let mut queue = self.lock();
                match queue.jobs.front().map(|first| first.arrived + self.batching.wait) {
                    None if queue.ending => return None,
                    None => None,
                    Some(until) if queue.rows < self.batching.cap && !queue.ending && Instant::now() < until => {
                        Some(until)
                    }
                    Some(_) => {
                        let jobs = self.take(&mut queue);
                        if !jobs.is_empty() {
                            return Some(jobs);
                        }
                        continue;
                    }
                }
            };
            // A change since the look at the queue is not missed: the notice of it is kept.
            match fill_until {
                None => self.changed.notified().await,
                // When the time is over, the queue is looked at again.
                Some(until) => drop(tokio::time::timeout_at(until.into(), self.changed.notified()).await),
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
