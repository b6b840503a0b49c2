//! What workers do together, each as rounds of messages, with the time that it takes.
//!
//! For p workers and n bytes over a link with latency alpha and W bytes per second:
//!
//! ```text
//! reduce-scatter   (p-1) (alpha + n/(pW))    each worker ends with the sum of its own p-th
//! all-gather       (p-1) (alpha + n/(pW))    each worker's own p-th goes to all
//! broadcast        alpha + (p-1) n/W         the root's link carries everything
//! all-to-all       alpha + (p-1) n/W         each worker sends each other n bytes of their own
//! barrier          2 alpha                   empty messages to worker 0 and back
//! ```
//!
//! Both halves go around the ring, whatever [`Algorithm`] the all-reduce uses; around the ring an all-reduce is
//! exactly a reduce-scatter followed by an all-gather. Training with sharded parameters or optimiser states
//! uses the halves apart (Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter
//! Models").
//!
//! ```
//! use onramp::communication::{Algorithm, Collective, Link};
//!
//! let time = |collective: Collective| collective.seconds(&Link::lan(), 8, 1e6);
//! let halves = time(Collective::ReduceScatter) + time(Collective::AllGather);
//! assert_eq!(halves, time(Collective::AllReduce(Algorithm::Ring)));
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::algorithm::{self, Round};
use super::{Algorithm, Link};
use crate::error::{Error, Result};

/// A call that all workers make together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collective {
    /// Sums over all workers and gives all of them the sum.
    AllReduce(Algorithm),
    /// Sums over all workers and gives each its own chunk of the sum.
    ReduceScatter,
    /// Gives all workers the chunk of each.
    AllGather,
    /// Gives all workers the numbers of one.
    Broadcast {
        /// The worker that has the numbers.
        root: usize,
    },
    /// Each worker sends each other one this many numbers, which only that one gets. An all-gather whose parts all go
    /// straight to everybody is one in which these are equal.
    AllToAll,
    /// Waits for all workers.
    Barrier,
}

impl Collective {
    /// The rounds for `elements` numbers and `world_size` workers. One worker needs none.
    pub fn rounds(self, world_size: usize, elements: usize) -> Vec<Round> {
        if world_size < 2 {
            return Vec::new();
        }
        match self {
            Self::AllReduce(algorithm) => algorithm.rounds(world_size, elements),
            Self::ReduceScatter => algorithm::reduce_scatter(world_size, elements),
            Self::AllGather => algorithm::all_gather(world_size, elements),
            Self::Broadcast { root } => vec![algorithm::spread(root, world_size, elements)],
            Self::AllToAll => vec![algorithm::all_to_all(world_size, elements)],
            Self::Barrier => Algorithm::Central.rounds(world_size, 0),
        }
    }

    /// The formula at the top of this module, or that of the [`Algorithm`]: seconds for `bytes` and `world_size`
    /// workers.
    pub fn seconds(self, link: &Link, world_size: usize, bytes: f64) -> f64 {
        if world_size < 2 {
            return 0.0;
        }
        let others = (world_size - 1) as f64;
        match self {
            Self::AllReduce(algorithm) => algorithm.seconds(link, world_size, bytes),
            Self::ReduceScatter | Self::AllGather => others * link.seconds(bytes / world_size as f64),
            Self::Broadcast { .. } | Self::AllToAll => link.seconds(others * bytes),
            Self::Barrier => 2.0 * link.latency_seconds(),
        }
    }

    /// Refuses a broadcast from a worker that is not there.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the root is not below `world_size`.
    pub fn validate(self, world_size: usize) -> Result<()> {
        match self {
            Self::Broadcast { root } if root >= world_size => Err(Error::invalid(format!(
                "worker {root} can't broadcast: the {world_size} workers are numbered from 0 to {}",
                world_size.saturating_sub(1)
            ))),
            _ => Ok(()),
        }
    }
}

/// One worker's call, as it stands in the head of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// Counts this worker's collective calls, from 1. Messages between two workers don't count.
    pub(super) number: u64,
    pub(super) operation: Operation,
    pub(super) elements: usize,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Together(Collective),
    Send {
        to: usize,
    },
    /// From this worker, or from whichever sends first.
    Receive {
        from: Option<usize>,
    },
}

impl fmt::Display for Call {
    /// The method's name and length, as they stand in the worker's program.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements = self.elements;
        let collective = match self.operation {
            Operation::Together(collective) => collective,
            Operation::Send { to } => return write!(f, "send of {elements} numbers to worker {to}"),
            Operation::Receive { from: Some(from) } => {
                return write!(f, "receive of {elements} numbers from worker {from}");
            }
            Operation::Receive { from: None } => return write!(f, "receive_from_any of {elements} numbers"),
        };
        match collective {
            Collective::AllReduce(_) => write!(f, "all_reduce_sum of {elements} numbers")?,
            Collective::ReduceScatter => write!(f, "reduce_scatter_sum of {elements} numbers")?,
            Collective::AllGather => write!(f, "all_gather of {elements} numbers")?,
            Collective::Broadcast { root } => write!(f, "broadcast of {elements} numbers from worker {root}")?,
            Collective::AllToAll => write!(f, "all_to_all_bytes")?,
            Collective::Barrier => write!(f, "barrier")?,
        }
        write!(f, " (its call {})", self.number)
    }
}
