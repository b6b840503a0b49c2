//! Workers as threads of this process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::port::Ports;
use super::thread::ThreadCommunicator;
use super::watch::Watch;
use super::{Algorithm, Link};
use crate::error::{Error, Result};
use crate::interrupt::while_allowed;
use crate::machine;

/// How long a worker waits for one that makes no call.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a worker: its result, or what it panicked with.
type End<T> = std::thread::Result<Result<T>>;

/// A description of workers that run as threads, each tied to a core of its own as far as there are enough.
///
/// ```
/// use onramp::communication::{Communicator, Team};
///
/// let sums = Team::new(3)?.run(|mut worker| {
///     let mut values = vec![worker.rank() as f32; 2];
///     worker.all_reduce_sum(&mut values)?;
///     Ok(values)
/// })?;
/// assert_eq!(sums, vec![vec![3.0, 3.0]; 3]);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Team {
    world_size: usize,
    algorithm: Algorithm,
    link: Option<Link>,
    patience: Duration,
    straggler: Option<(usize, f64)>,
}

impl Team {
    /// This many workers, which talk through memory and sum around a ring.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for zero workers.
    pub fn new(world_size: usize) -> Result<Self> {
        if world_size == 0 {
            return Err(Error::invalid("a team of 0 workers does no work; use at least 1"));
        }
        Ok(Self { world_size, algorithm: Algorithm::default(), link: None, patience: PATIENCE, straggler: None })
    }

    /// The same with another all-reduce.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The same over an emulated link: each message is really moved, and arrives when it would over this link.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the link is faster than threads can imitate ([`Link::can_be_emulated`]).
    pub fn over(mut self, link: &Link) -> Result<Self> {
        link.can_be_emulated()?;
        self.link = Some(link.clone());
        Ok(self)
    }

    /// The same with another limit to how long workers wait for one that makes no call; 60 seconds otherwise.
    ///
    /// The time counts from when somebody waits, and each call, message or wait of the other is a sign of life.
    /// So the limit must be longer than the slowest worker computes between two calls after the others are done.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same with one slow worker: between two calls it takes `factor` times as long as it needs, asleep for the
    /// rest, as a machine would that is shared with others.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no such worker, or the factor is not a number from 1 up.
    pub fn straggler(mut self, rank: usize, factor: f64) -> Result<Self> {
        if rank >= self.world_size {
            return Err(Error::invalid(format!(
                "worker {rank} can't be slowed down: the {} workers are numbered from 0 to {}",
                self.world_size,
                self.world_size - 1
            )));
        }
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(Error::invalid(format!(
                "worker {rank} can't take {factor} times as long; use 1 or more, such as 2.0 for half the speed"
            )));
        }
        self.straggler = Some((rank, factor));
        Ok(self)
    }

    /// Runs `work` once for each worker, all at the same time, and returns the results in order of ranks.
    ///
    /// A run ends when all its workers have ended. Once one has panicked, returned an error, or returned while others
    /// still need it, the others get an error within 2 seconds from the call that they are in, from their next one,
    /// or from [`check_interrupt`](crate::interrupt::check_interrupt), and the first cause is returned. The
    /// same holds when the cell is interrupted, when workers wait for each other in a circle because their calls
    /// differ, and when one makes no call for longer than [`Team::patience`].
    ///
    /// A thread can't be ended from outside: a worker whose own code loops for ever, without a call and without
    /// `check_interrupt`, keeps the run from ending after all the others have. Only a process can be killed; see
    /// [`in_fresh_process`](crate::experiment::in_fresh_process).
    ///
    /// # Errors
    /// Whatever `work` returns, and [`Error::Worker`] when it panics, a worker does not answer, or the workers' calls
    /// differ.
    pub fn run<T: Send>(&self, work: impl Fn(ThreadCommunicator) -> Result<T> + Sync) -> Result<Vec<T>> {
        let ports = self.link.as_ref().map(|link| Arc::new(Ports::new(link, self.world_size)));
        let mut pools = Vec::with_capacity(self.world_size);
        for rank in 0..self.world_size {
            pools.push(machine::core_pool(rank)?);
        }
        let watch = Arc::new(Watch::new(self.world_size, self.patience));
        let endpoints = Endpoint::mesh(self.world_size, ports.as_ref(), &watch);
        let (work, watch) = (&work, &watch);
        let ends: Vec<End<T>> = std::thread::scope(|scope| {
            let threads: Vec<_> = endpoints
                .into_iter()
                .zip(&pools)
                .map(|(endpoint, pool)| scope.spawn(move || pool.install(move || self.worker(endpoint, watch, work))))
                .collect();
            threads.into_iter().map(|thread| thread.join().and_then(|end| end)).collect()
        });
        self.results(ends, watch)
    }

    /// One worker's life, on its own thread. Tells the others when it fails.
    fn worker<T>(
        &self,
        endpoint: Endpoint,
        watch: &Arc<Watch>,
        work: &impl Fn(ThreadCommunicator) -> Result<T>,
    ) -> End<T> {
        let rank = endpoint.rank();
        let slowness = self.straggler.filter(|(slow, _)| *slow == rank).map_or(1.0, |(_, factor)| factor);
        let communicator = ThreadCommunicator::new(endpoint, self.algorithm, slowness);
        let others = Arc::clone(watch);
        let allowed = Rc::new(move || others.check(rank));
        // Nothing that `work` leaves half-done is looked at after a panic: the run ends with an error.
        let end = catch_unwind(AssertUnwindSafe(|| while_allowed(allowed, || work(communicator))));
        match &end {
            Ok(Ok(_)) => watch.ends(rank),
            Ok(Err(error)) => watch.fails(rank, &error.to_string()),
            Err(payload) => watch.fails(rank, &format!("it panicked: {}", panic_text(&**payload))),
        }
        end
    }

    /// All results, or the error that came first in the chain of causes: a panic, then an error of the work
    /// itself, then the errors of those who lost a partner.
    fn results<T>(&self, ends: Vec<End<T>>, watch: &Watch) -> Result<Vec<T>> {
        let first_failure = watch.first_failure();
        let mut values = Vec::with_capacity(self.world_size);
        let mut own: Option<Error> = None;
        let mut lost: Option<Error> = None;
        let mut panicked: Option<Error> = None;
        for (rank, end) in ends.into_iter().enumerate() {
            match end {
                Ok(Ok(value)) => values.push(value),
                Ok(Err(Error::Worker(text))) if lost.is_none() || first_failure == Some(rank) => {
                    lost = Some(Error::Worker(text));
                }
                Ok(Err(Error::Worker(_))) => {}
                Ok(Err(other)) => _ = own.get_or_insert(other),
                Err(payload) => {
                    _ = panicked.get_or_insert_with(|| {
                        Error::Worker(format!(
                            "worker {rank} of {} panicked: {}",
                            self.world_size,
                            panic_text(&*payload)
                        ))
                    });
                }
            }
        }
        match panicked.or(own).or(lost) {
            Some(error) => Err(error),
            None => watch.compare_last_calls().map(|()| values),
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
