//! Messages between the threads of a team.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::port::{Ports, wait_until};
use crate::error::{Error, Result};

/// A copy of the sender's numbers, and when it arrives on a shaped link.
struct Message {
    values: Vec<f32>,
    arrives: Option<Instant>,
}

/// One worker's ends of the channels to and from all the others.
pub(super) struct Endpoint {
    rank: usize,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
    ports: Option<Arc<Ports>>,
    patience: Duration,
}

impl Endpoint {
    /// Connects each of `world_size` workers to each other; `ports` slows the messages down.
    pub(super) fn mesh(world_size: usize, ports: Option<&Arc<Ports>>, patience: Duration) -> Vec<Self> {
        let mut endpoints: Vec<Self> = (0..world_size)
            .map(|rank| Self { rank, to: Vec::new(), from: Vec::new(), ports: ports.cloned(), patience })
            .collect();
        // All channels of worker `from` before those of worker `from + 1`: so both lists are in order of ranks.
        for from in 0..world_size {
            for to in 0..world_size {
                let (sender, receiver) = mpsc::channel();
                endpoints[from].to.push(sender);
                endpoints[to].from.push(receiver);
            }
        }
        endpoints
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn world_size(&self) -> usize {
        self.to.len()
    }

    /// Sends a copy of `values` and goes on at once.
    pub(super) fn send(&self, to: usize, values: &[f32]) -> Result<()> {
        let arrives = self.ports.as_ref().map(|ports| ports.book(self.rank, to, size_of_val(values)));
        let message = Message { values: values.to_vec(), arrives };
        self.to[to].send(message).map_err(|_| self.gone(to))
    }

    /// Waits for the next message of worker `from`.
    pub(super) fn receive(&self, from: usize) -> Result<Vec<f32>> {
        let message = self.from[from].recv_timeout(self.patience).map_err(|cause| match cause {
            RecvTimeoutError::Disconnected => self.gone(from),
            RecvTimeoutError::Timeout => Error::Worker(format!(
                "worker {} waited {:.0?} for worker {from}, which sent nothing; all workers must make the same \
                 calls in the same order",
                self.rank, self.patience
            )),
        })?;
        if let Some(arrives) = message.arrives {
            wait_until(arrives);
        }
        Ok(message.values)
    }

    fn gone(&self, other: usize) -> Error {
        Error::Worker(format!(
            "worker {other} stopped while worker {} still needed it, so the run can't go on; look for the error of \
             worker {other}",
            self.rank
        ))
    }
}
