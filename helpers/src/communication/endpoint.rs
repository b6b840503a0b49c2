//! Messages between the threads of a team.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use super::collective::Call;
use super::port::{Ports, wait_until};
use super::watch::{LOOK, Watch};
use crate::error::{Error, Result};

/// A copy of the sender's numbers, the call that they belong to, and when they arrive on a shaped link.
struct Message {
    call: Call,
    values: Vec<f32>,
    arrives: Option<Instant>,
}

/// One worker's ends of the channels to and from all the others.
pub(super) struct Endpoint {
    rank: usize,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
    ports: Option<Arc<Ports>>,
    watch: Arc<Watch>,
    /// Memory of messages that were read, for those still to be sent: fresh memory of some megabytes costs more
    /// than the copy into it, because the operating system clears it page by page.
    spare: Vec<Vec<f32>>,
}

impl Endpoint {
    /// Connects each of `world_size` workers to each other; `ports` slows the messages down.
    pub(super) fn mesh(world_size: usize, ports: Option<&Arc<Ports>>, watch: &Arc<Watch>) -> Vec<Self> {
        let mut endpoints: Vec<Self> = (0..world_size)
            .map(|rank| Self {
                rank,
                to: Vec::new(),
                from: Vec::new(),
                ports: ports.cloned(),
                watch: Arc::clone(watch),
                spare: Vec::new(),
            })
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

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Sends a copy of `values` and goes on at once.
    pub(super) fn send(&mut self, call: Call, to: usize, values: &[f32]) -> Result<()> {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(values);
        let arrives = self.ports.as_ref().map(|ports| ports.book(self.rank, to, size_of_val(values)));
        self.watch.sends(self.rank, to);
        self.to[to].send(Message { call, values: copy, arrives }).map_err(|_| self.gone(to))
    }

    /// Waits for the next message of worker `from`, lets `read` use its numbers, and keeps its memory.
    pub(super) fn receive(&mut self, call: Call, from: usize, read: impl FnOnce(&[f32])) -> Result<()> {
        self.watch.waits(self.rank, from);
        let message = loop {
            match self.from[from].recv_timeout(LOOK) {
                Ok(message) => break message,
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone(from)),
                Err(RecvTimeoutError::Timeout) => self.watch.look(self.rank)?,
            }
        };
        self.watch.takes(from, self.rank);
        if message.call != call {
            return Err(Error::Worker(format!(
                "worker {} called {call}, but worker {from} called {}; all workers must make the same calls in the \
                 same order",
                self.rank, message.call
            )));
        }
        if let Some(arrives) = message.arrives {
            wait_until(arrives, || self.watch.look(self.rank))?;
        }
        self.watch.works(self.rank);
        read(&message.values);
        // As many as can be sent in one round; empty ones hold no memory.
        if message.values.capacity() > 0 && self.spare.len() < self.world_size() {
            self.spare.push(message.values);
        }
        Ok(())
    }

    fn gone(&self, other: usize) -> Error {
        Error::Worker(format!(
            "worker {other} stopped while {} still needed it, so the run can't go on; it ended as {}",
            self.watch.describe(self.rank),
            self.watch.describe(other)
        ))
    }
}
