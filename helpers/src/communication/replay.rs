//! Rounds of messages on a virtual clock.
//!
//! More workers than cores can't be timed: they would take turns on the cores and look slow for a reason that no
//! cluster has. So the steps of one worker are measured alone on a core, and the replay computes what p
//! such workers would take: each worker's clock is set to when its gradients are ready, then each message moves
//! it on, exactly as the rounds of the [`Algorithm`] say, over the same shaped link as that of real threads.

use super::port::Ways;
use super::{Algorithm, Collective, Link, Round};
use crate::error::Result;

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
    rounds: Vec<Round>,
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
    /// [`crate::Error::InvalidInput`] for a broadcast from a worker that is not there.
    pub fn of(link: &Link, world_size: usize, calls: &[(Collective, usize)]) -> Result<Self> {
        calls.iter().try_for_each(|(collective, _)| collective.validate(world_size))?;
        Ok(Self::playing(link, world_size, calls.iter().copied()))
    }

    fn playing(link: &Link, world_size: usize, calls: impl Iterator<Item = (Collective, usize)>) -> Self {
        let rounds = calls.flat_map(|(collective, elements)| collective.rounds(world_size, elements)).collect();
        Self { link: link.clone(), world_size, rounds }
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
                ready.iter_mut().zip(step).for_each(|(ready, seconds)| *ready += seconds);
                for round in &self.rounds {
                    play(round, &mut ready, &mut ways);
                }
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
