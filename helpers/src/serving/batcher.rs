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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle, RuntimeFlavor};
use tokio::sync::{Notify, oneshot};

use super::wait::wait_precisely;
use super::work::{Scores, Work};
use crate::error::{Error, Result};
use crate::machine;

/// The weight of the last batch in the mean time of a row.
const SMOOTHING: f64 = 0.1;
/// The shortest turn of the worker: in turns of several batches the parameters stay in the core's cache.
const TURN: Duration = Duration::from_micros(500);
/// The longest: whoever asks for the server's health can wait so long.
const LONGEST_TURN: Duration = Duration::from_millis(20);

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
    /// The model has no finite scores for this row, from 0.
    NotFinite { row: usize },
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

/// The worker's time on a thread that it shares with the connections: as long as they had it before. So what has to be refused,
/// when more comes than can be done, does not take the time of what was taken on.
struct Turn {
    start: Instant,
    length: Duration,
}

impl Turn {
    /// One that follows a turn of the connections from `start` to now.
    fn after(start: Instant) -> Self {
        let now = Instant::now();
        Self { start: now, length: (now - start).clamp(TURN, LONGEST_TURN) }
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() > self.length
    }
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
            let own = runtime::Builder::new_current_thread().enable_all().build();
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

    /// Whether a request would be taken now: asked before its body is looked at.
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
        let mut turn = Turn::after(Instant::now());
        while let Some(mut jobs) = self.next_batch(&mut turn).await {
            let start = Instant::now();
            let counts: Vec<usize> = jobs.iter().map(|job| job.count).collect();
            let rows = match &mut jobs[..] {
                [one] => std::mem::take(&mut one.rows),
                _ => jobs.iter().flat_map(|job| &job.rows).copied().collect(),
            };
            // A mistake in the model is the end of this batch, and not of the server.
            let scores = catch_unwind(AssertUnwindSafe(|| work.score(&rows, &counts, &mut scratch, start)))
                .unwrap_or_else(|_| Err(Error::Worker("the model panicked; the server's log says where".to_string())));
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
            if turn.is_over() {
                let end = Instant::now();
                tokio::task::yield_now().await;
                turn = Turn::after(end);
            }
        }
    }

    /// The next jobs that somebody still waits for; none at the end.
    async fn next_batch(&self, turn: &mut Turn) -> Option<Vec<Job>> {
        loop {
            let fill_until = {
                let mut queue = self.lock();
                match queue.jobs.front().map(|first| first.arrived + self.batching.wait) {
                    None if queue.ending => return None,
                    None => None,
                    Some(until) if self.may_fill(&queue) && Instant::now() < until => Some(until),
                    Some(_) => {
                        let jobs = self.take(&mut queue);
                        if !jobs.is_empty() {
                            return Some(jobs);
                        }
                        continue;
                    }
                }
            };
            let end = Instant::now();
            // A change since the look at the queue is not missed: the notice of it is kept.
            match fill_until {
                None => self.changed.notified().await,
                // When the time is over, the queue is looked at again.
                Some(until) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = wait_precisely(until.saturating_duration_since(end)) => {}
                },
            }
            *turn = Turn::after(end);
        }
    }

    /// Whether more can come into the next batch.
    fn may_fill(&self, queue: &Queue) -> bool {
        queue.rows < self.batching.cap && queue.jobs.len() < self.batching.queue_bound && !queue.ending
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
