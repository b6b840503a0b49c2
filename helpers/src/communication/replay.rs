//! Rounds of messages on a virtual clock.
//!
//! More workers than cores can't be timed: they would take turns on the cores and look slow for a reason that no
//! cluster has. So the steps of one worker are measured alone on a core, and the replay computes what p
//! such workers would take: each worker's clock is set to when its gradients are ready, then each message moves
//! it on, exactly as the rounds of the [`Algorithm`] say, over the same shaped link as that of real threads.

use super::port::Ways;
use super::{Algorithm, Collective, Link, Round};
use crate::error::{Error, Result};

/// Workers, their link, and what they say to each other in one step.
///
/// ```
/// use onramp::communication::{Algorithm, Link, Replay};
///
/// // With equal workers the replay gives the formula's time.
/// let (link, workers, elements) = (Link::lan(), 8, 250_000);
/// let replay = Replay::new(&link, Algorithm::Ring, workers, &[elements]);
/// let formula = Algorithm::Ring.seconds(&link, workers, 4.0 * elements as f64);
/// assert!((replay.communication_seconds() / formula - 1.0).abs() < 1e-3);
/// ```
#[derive(Debug, Clone)]
pub struct Replay {
    link: Link,
    world_size: usize,
    calls: Vec<Vec<Round>>,
    /// For each call, which share of its computing a worker has done when it makes it.
    ready_at: Vec<f64>,
}

impl Replay {
    /// `world_size` workers that make an all-reduce of each of the lengths in `messages`, one after the other.
    pub fn new(link: &Link, algorithm: Algorithm, world_size: usize, messages: &[usize]) -> Self {
        let collective = Collective::AllReduce(algorithm);
        Self::playing(link, world_size, messages.iter().map(|elements| (collective, *elements)))
    }

    /// `world_size` workers that make these calls one after the other, each with its number of elements.
    ///
    /// ```
    /// use onramp::communication::{Collective, Link, Replay};
    ///
    /// // A step with sharded optimiser states: sums to their owners, then the new parameters to all.
    /// let (link, elements) = (Link::lan(), 250_000);
    /// let calls = [(Collective::ReduceScatter, elements), (Collective::AllGather, elements)];
    /// let replay = Replay::of(&link, 4, &calls)?;
    /// let formula = 2.0 * Collective::AllGather.seconds(&link, 4, 4.0 * elements as f64);
    /// assert!((replay.communication_seconds() / formula - 1.0).abs() < 1e-9);
    /// # Ok::<(), onramp::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a broadcast from a worker that is not there.
    pub fn of(link: &Link, world_size: usize, calls: &[(Collective, usize)]) -> Result<Self> {
        calls.iter().try_for_each(|(collective, _)| collective.validate(world_size))?;
        Ok(Self::playing(link, world_size, calls.iter().copied()))
    }

    fn playing(link: &Link, world_size: usize, calls: impl Iterator<Item = (Collective, usize)>) -> Self {
        let calls: Vec<_> = calls.map(|(collective, elements)| collective.rounds(world_size, elements)).collect();
        let ready_at = vec![1.0; calls.len()];
        Self { link: link.clone(), world_size, calls, ready_at }
    }

    /// The same where computing goes on during the calls: each is made when this share of the computing is done, or when
    /// the call before it is over, whichever is later. What is left after the last one is done when that is over, such
    /// as the change of the parameters.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is not one share from 0 to 1 for each call, in rising order.
    pub fn ready_at(mut self, shares: &[f64]) -> Result<Self> {
        let in_order = shares.windows(2).all(|pair| pair[0] <= pair[1]);
        if shares.len() != self.calls.len() || !in_order || !shares.iter().all(|share| (0.0..=1.0).contains(share)) {
            return Err(Error::invalid(format!(
                "{} calls can't be ready at {shares:?}; give each its share of the computing, from 0 to 1 and rising",
                self.calls.len()
            )));
        }
        self.ready_at = shares.to_vec();
        Ok(self)
    }

    /// Seconds of one step's calls when all workers begin at the same moment.
    pub fn communication_seconds(&self) -> f64 {
        self.step_seconds(&[vec![0.0; self.world_size]])[0]
    }

    /// Plays steps one after the other and returns the seconds of each, up to when the last worker has finished.
    ///
    /// `compute` holds for each step the seconds that each worker computes before its gradients are ready. A
    /// worker begins its next step when it has finished the last one, so a slow worker holds up the others only
    /// through the messages. Workers that `compute` leaves out begin at once.
    pub fn step_seconds(&self, compute: &[Vec<f64>]) -> Vec<f64> {
        // When each worker can go on, in seconds.
        let mut ready = vec![0.0; self.world_size];
        let mut ways = Ways::new(&self.link, self.world_size);
        let mut finished = 0.0;
        compute
            .iter()
            .map(|step| {
                let begun = ready.clone();
                let compute = |worker: usize| step.get(worker).copied().unwrap_or(0.0);
                for (call, share) in self.calls.iter().zip(&self.ready_at) {
                    for (worker, ready) in ready.iter_mut().enumerate() {
                        *ready = f64::max(*ready, begun[worker] + share * compute(worker));
                    }
                    call.iter().for_each(|round| play(round, &mut ready, &mut ways));
                }
                let left = 1.0 - self.ready_at.last().copied().unwrap_or(0.0);
                ready.iter_mut().enumerate().for_each(|(worker, ready)| *ready += left * compute(worker));
                let before = std::mem::replace(&mut finished, ready.iter().copied().fold(0.0, f64::max));
                finished - before
            })
            .collect()
    }
}

fn play(round: &Round, ready: &mut [f64], ways: &mut Ways) {
    ways.forget(ready.iter().copied().fold(f64::INFINITY, f64::min));
    // Who is ready first sends first.
    let mut order: Vec<usize> = (0..round.len()).collect();
    order.sort_by(|a, b| ready[round[*a].from].total_cmp(&ready[round[*b].from]));
    let before = ready.to_vec();
    for transfer in order.into_iter().map(|index| &round[index]) {
        let bytes = transfer.elements.len() * size_of::<f32>();
        let arrives = ways.book(before[transfer.from], transfer.from, transfer.to, bytes);
        ready[transfer.to] = ready[transfer.to].max(arrives);
    }
}
