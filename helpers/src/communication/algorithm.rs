//! All-reduce algorithms, written as rounds of messages.
//!
//! An algorithm only says who sends which part to whom, round by round. Threads carry the messages out with
//! real bytes (`Team`), and the replay plays the same rounds on a virtual clock (`Replay`), so both follow one
//! description. Times for p workers and n bytes over a link with latency alpha and W bytes per second:
//!
//! ```text
//! central   2 (alpha + (p-1) n/W)               the first worker's link carries everything
//! tree      2 log2(p) (alpha + n/W)             few rounds, whole messages
//! ring      2 (p-1) alpha + 2 ((p-1)/p) n/W     many rounds, small messages, all links busy
//! ```
//!
//! (Thakur, Rabenseifner and Gropp 2005, "Optimization of Collective Communication Operations in MPICH";
//! Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".)
//!
//! ```
//! use onramp::communication::{Algorithm, Link};
//!
//! // 1 MB over 8 workers on a local network: the ring wins by far.
//! let time = |algorithm: Algorithm| algorithm.seconds(&Link::lan(), 8, 1e6);
//! assert!(time(Algorithm::Ring) < time(Algorithm::Tree));
//! assert!(time(Algorithm::Tree) < time(Algorithm::Central));
//! // 4 bytes: what counts is the number of rounds.
//! let time = |algorithm: Algorithm| algorithm.seconds(&Link::lan(), 8, 4.0);
//! assert!(time(Algorithm::Central) < time(Algorithm::Tree));
//! assert!(time(Algorithm::Tree) < time(Algorithm::Ring));
//! ```

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Collective, Link};

/// A way to sum numbers over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// All send everything to worker 0, which adds it up and sends the sum to all.
    Central,
    /// Pairs add up, then pairs of pairs, and the sum comes back the same way.
    Tree,
    /// Each worker passes a p-th of the numbers to its neighbour, around the ring twice: a reduce-scatter, then an
    /// all-gather.
    #[default]
    Ring,
}

/// What the receiver does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Adds the numbers to its own.
    Add,
    /// Replaces its own numbers.
    Replace,
}

/// One message of an algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The sending worker.
    pub from: usize,
    /// The receiving worker.
    pub to: usize,
    /// Which elements are sent.
    pub elements: Range<usize>,
    /// What the receiver does with them.
    pub action: Action,
}

/// Messages that don't depend on each other. A worker sends its messages of a round, then waits for those
/// that it gets in this round; no element is in both.
pub type Round = Vec<Transfer>;

impl Algorithm {
    /// All three, from the simplest on.
    pub const ALL: [Self; 3] = [Self::Central, Self::Tree, Self::Ring];

    /// The rounds that sum `elements` numbers over `world_size` workers. One worker needs none.
    pub fn rounds(self, world_size: usize, elements: usize) -> Vec<Round> {
        if world_size < 2 {
            return Vec::new();
        }
        match self {
            Self::Central => central(world_size, elements),
            Self::Tree => tree(world_size, elements),
            Self::Ring => ring(world_size, elements),
        }
    }

    /// The formula at the top of this module: seconds to sum `bytes` over `world_size` workers.
    pub fn seconds(self, link: &Link, world_size: usize, bytes: f64) -> f64 {
        if world_size < 2 {
            return 0.0;
        }
        let others = (world_size - 1) as f64;
        match self {
            Self::Central => 2.0 * link.seconds(others * bytes),
            Self::Tree => 2.0 * f64::from(world_size.next_power_of_two().ilog2()) * link.seconds(bytes),
            Self::Ring => [Collective::ReduceScatter, Collective::AllGather]
                .into_iter()
                .map(|half| half.seconds(link, world_size, bytes))
                .sum(),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Central => "central",
            Self::Tree => "tree",
            Self::Ring => "ring",
        })
    }
}

/// The elements that worker `rank` of `world_size` owns after a reduce-scatter and brings to an all-gather.
///
/// The chunks cover all elements without a gap. Where the workers don't divide the elements evenly the lengths
/// differ by one, and with fewer elements than workers some chunks are empty.
///
/// ```
/// use onramp::communication::chunk;
///
/// let chunks: Vec<_> = (0..3).map(|rank| chunk(rank, 3, 10)).collect();
/// assert_eq!(chunks, [0..3, 3..6, 6..10]);
/// ```
pub fn chunk(rank: usize, world_size: usize, elements: usize) -> Range<usize> {
    rank * elements / world_size..(rank + 1) * elements / world_size
}

fn central(world_size: usize, elements: usize) -> Vec<Round> {
    let gather = (1..world_size).map(|from| Transfer { from, to: 0, elements: 0..elements, action: Action::Add });
    vec![gather.collect(), spread(0, world_size, elements)]
}

/// Everything from one worker to all the others.
pub(super) fn spread(root: usize, world_size: usize, elements: usize) -> Round {
    let others = (0..world_size).filter(|to| *to != root);
    others.map(|to| Transfer { from: root, to, elements: 0..elements, action: Action::Replace }).collect()
}

/// Everything from each worker to each other one. Worker r begins with its neighbour r+1, so that no two begin with
/// the same receiver.
pub(super) fn all_to_all(world_size: usize, elements: usize) -> Round {
    let pairs = (1..world_size).flat_map(|ahead| (0..world_size).map(move |from| (from, (from + ahead) % world_size)));
    pairs.map(|(from, to)| Transfer { from, to, elements: 0..elements, action: Action::Replace }).collect()
}

fn tree(world_size: usize, elements: usize) -> Vec<Round> {
    let mut up: Vec<Round> = Vec::new();
    let mut distance = 1;
    while distance < world_size {
        let senders = (distance..world_size).step_by(2 * distance);
        up.push(
            senders
                .map(|from| Transfer { from, to: from - distance, elements: 0..elements, action: Action::Add })
                .collect(),
        );
        distance *= 2;
    }
    let back = |transfer: &Transfer| Transfer {
        from: transfer.to,
        to: transfer.from,
        elements: transfer.elements.clone(),
        action: Action::Replace,
    };
    let down: Vec<Round> = up.iter().rev().map(|round| round.iter().map(back).collect()).collect();
    up.into_iter().chain(down).collect()
}

fn ring(world_size: usize, elements: usize) -> Vec<Round> {
    let mut rounds = reduce_scatter(world_size, elements);
    rounds.extend(all_gather(world_size, elements));
    rounds
}

/// Once around the ring, adding up: chunk c starts at worker c+1 and ends with its owner, worker c.
pub(super) fn reduce_scatter(world_size: usize, elements: usize) -> Vec<Round> {
    around(world_size, elements, Action::Add, 1)
}

/// Once around the ring, copying: chunk c starts at its owner, worker c, and ends with worker c-1.
pub(super) fn all_gather(world_size: usize, elements: usize) -> Vec<Round> {
    around(world_size, elements, Action::Replace, 0)
}

/// In each of the p-1 rounds each worker sends its neighbour what it got in the round before. In the first round
/// worker r sends chunk r - `behind`.
fn around(world_size: usize, elements: usize, action: Action, behind: usize) -> Vec<Round> {
    let transfer = |step: usize, from: usize| Transfer {
        from,
        to: (from + 1) % world_size,
        elements: chunk((from + world_size - behind - step) % world_size, world_size, elements),
        action,
    };
    (0..world_size - 1).map(|step| (0..world_size).map(|from| transfer(step, from)).collect()).collect()
}
