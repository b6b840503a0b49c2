//! Workers as threads of this process.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::port::Ports;
use super::{Action, Algorithm, Communicator, Link, Round};
use crate::error::{Error, Result};
use crate::machine;

/// How long a worker waits for a message before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);

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
        Ok(Self { world_size, algorithm: Algorithm::default(), link: None, patience: PATIENCE })
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

    /// The same with another limit to how long a worker waits for a message.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs `work` once for each worker, all at the same time, and returns the results in order of ranks.
    ///
    /// A worker that panics or returns an error closes its channels, so the others end with an error instead
    /// of waiting for ever, and the first cause is returned.
    ///
    /// # Errors
    /// Whatever `work` returns, and [`Error::Worker`] when it panics or a worker does not answer.
    pub fn run<T: Send>(&self, work: impl Fn(ThreadCommunicator) -> Result<T> + Sync) -> Result<Vec<T>> {
        let ports = self.link.as_ref().map(|link| Arc::new(Ports::new(link.clone(), self.world_size)));
        let endpoints = Endpoint::mesh(self.world_size, ports.as_ref(), self.patience);
        let mut pools = Vec::with_capacity(self.world_size);
        for rank in 0..self.world_size {
            pools.push(machine::core_pool(rank)?);
        }
        let work = &work;
        let ends: Vec<std::thread::Result<Result<T>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = endpoints
                .into_iter()
                .zip(&pools)
                .map(|(endpoint, pool)| {
                    let worker = ThreadCommunicator { endpoint, algorithm: self.algorithm, rounds: BTreeMap::new() };
                    scope.spawn(move || pool.install(move || work(worker)))
                })
                .collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        self.results(ends)
    }

    /// All results, or the error that came first in the chain of causes: a panic, then an error of the work
    /// itself, then the errors of those who lost a partner.
    fn results<T>(&self, ends: Vec<std::thread::Result<Result<T>>>) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(self.world_size);
        let mut own: Option<Error> = None;
        let mut lost: Option<Error> = None;
        let mut panicked: Option<Error> = None;
        for (rank, end) in ends.into_iter().enumerate() {
            match end {
                Ok(Ok(value)) => values.push(value),
                Ok(Err(Error::Worker(text))) => _ = lost.get_or_insert(Error::Worker(text)),
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
            None => Ok(values),
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// A worker thread's connection to the others of its [`Team`].
pub struct ThreadCommunicator {
    endpoint: Endpoint,
    algorithm: Algorithm,
    /// The rounds for each length that was summed before.
    rounds: BTreeMap<usize, Vec<Round>>,
}

impl Communicator for ThreadCommunicator {
    fn rank(&self) -> usize {
        self.endpoint.rank()
    }

    fn world_size(&self) -> usize {
        self.endpoint.world_size()
    }

    fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<()> {
        let (rank, world_size) = (self.rank(), self.world_size());
        let rounds = self.rounds.entry(values.len()).or_insert_with(|| self.algorithm.rounds(world_size, values.len()));
        for round in rounds.iter() {
            for transfer in round.iter().filter(|transfer| transfer.from == rank) {
                self.endpoint.send(transfer.to, &values[transfer.elements.clone()])?;
            }
            for transfer in round.iter().filter(|transfer| transfer.to == rank) {
                let received = self.endpoint.receive(transfer.from)?;
                let own = &mut values[transfer.elements.clone()];
                if received.len() != own.len() {
                    return Err(Error::Worker(format!(
                        "worker {rank} expected {} numbers of worker {} and got {}; all workers must sum tensors of \
                         the same shape in the same order",
                        own.len(),
                        transfer.from,
                        received.len()
                    )));
                }
                match transfer.action {
                    Action::Add => own.iter_mut().zip(&received).for_each(|(own, other)| *own += other),
                    Action::Replace => own.copy_from_slice(&received),
                }
            }
        }
        Ok(())
    }

    fn broadcast(&mut self, values: &mut [f32], root: usize) -> Result<()> {
        if root >= self.world_size() {
            return Err(Error::invalid(format!(
                "worker {root} can't broadcast: the {} workers are numbered from 0 to {}",
                self.world_size(),
                self.world_size() - 1
            )));
        }
        if self.rank() != root {
            let received = self.endpoint.receive(root)?;
            if received.len() != values.len() {
                return Err(Error::Worker(format!(
                    "worker {} expected {} numbers of worker {root} and got {}; all workers must broadcast \
                     the same length",
                    self.rank(),
                    values.len(),
                    received.len()
                )));
            }
            values.copy_from_slice(&received);
            return Ok(());
        }
        for to in (0..self.world_size()).filter(|to| *to != root) {
            self.endpoint.send(to, values)?;
        }
        Ok(())
    }

    /// An empty message to worker 0 from each, and one back.
    fn barrier(&mut self) -> Result<()> {
        let others = 1..self.world_size();
        if self.rank() == 0 {
            others.clone().try_for_each(|from| self.endpoint.receive(from).map(drop))?;
            return others.into_iter().try_for_each(|to| self.endpoint.send(to, &[]));
        }
        self.endpoint.send(0, &[])?;
        self.endpoint.receive(0).map(drop)
    }
}
