//! Messages between the threads of a team.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::collective::{Call, Operation};
use super::loan::{Lender, Loan, lend};
use super::pieces::Pieces;
use super::port::{Ports, wait_until};
use super::watch::{LOOK, Watch};
use crate::error::{Error, Result};

/// From this size on a message is lent and not copied, where no link is emulated.
const LENT_BYTES: usize = 64 << 10;
/// A waiting worker watches for so long before it sleeps: waking up takes 20 to 80 microseconds, about as long as the
/// other's part of an exchange.
const WATCHING: Duration = Duration::from_micros(500);

/// What the sender had, the call that it belongs to, and when it arrives on a shaped link.
struct Message {
    from: usize,
    call: Call,
    content: Content,
    arrives: Option<Instant>,
}

/// What workers send each other.
enum Content {
    Numbers(Vec<f32>),
    Lent(Loan),
    Bytes(Vec<u8>),
}

/// One worker's way to all the others, and their messages to it.
pub(super) struct Endpoint {
    rank: usize,
    to: Vec<Sender<Message>>,
    inbox: Receiver<Message>,
    /// Messages of each worker that were taken out of the inbox while another one's was looked for.
    aside: Vec<VecDeque<Message>>,
    ports: Option<Arc<Ports>>,
    watch: Arc<Watch>,
    bytes_sent: u64,
    /// Memory of messages that were read, for those still to be sent: fresh memory of some megabytes costs more
    /// than the copy into it, because the operating system clears it page by page.
    spare: Vec<Vec<f32>>,
}

impl Endpoint {
    /// Connects each of `world_size` workers to each other; `ports` slows the messages down.
    pub(super) fn mesh(world_size: usize, ports: Option<&Arc<Ports>>, watch: &Arc<Watch>) -> Vec<Self> {
        let (to, inboxes): (Vec<_>, Vec<_>) = (0..world_size).map(|_| mpsc::channel()).unzip();
        inboxes
            .into_iter()
            .enumerate()
            .map(|(rank, inbox)| Self {
                rank,
                to: to.clone(),
                inbox,
                aside: (0..world_size).map(|_| VecDeque::new()).collect(),
                ports: ports.cloned(),
                watch: Arc::clone(watch),
                bytes_sent: 0,
                spare: Vec::new(),
            })
            .collect()
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

    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// Sends a copy of `values` and goes on at once.
    pub(super) fn send(&mut self, call: Call, to: usize, values: &[f32]) -> Result<()> {
        let mut copy = self.empty();
        copy.extend_from_slice(values);
        self.dispatch(call, to, size_of_val(values), Content::Numbers(copy))
    }

    /// Memory for a message.
    fn empty(&mut self) -> Vec<f32> {
        let mut empty = self.spare.pop().unwrap_or_default();
        empty.clear();
        empty
    }

    /// Sends `numbers` as they stand, without a copy if they are many; the caller waits with [`Endpoint::settle`] until
    /// they were read.
    ///
    /// # Safety
    /// Nobody may write to `numbers` until the lender that comes back, if one does, has been settled or dropped.
    pub(super) unsafe fn lend(&mut self, call: Call, to: usize, numbers: Pieces) -> Result<Option<Lender>> {
        let bytes = size_of::<f32>() * numbers.len();
        if self.ports.is_some() || bytes < LENT_BYTES {
            let mut copy = self.empty();
            // SAFETY: the caller lends us the numbers for the time of this call at least.
            unsafe { numbers.for_each(|values| copy.extend_from_slice(values)) };
            return self.dispatch(call, to, bytes, Content::Numbers(copy)).map(|()| None);
        }
        // SAFETY: as the caller promises.
        let (lender, loan) = unsafe { lend(numbers) };
        self.dispatch(call, to, bytes, Content::Lent(loan)).map(|()| Some(lender))
    }

    /// Waits until worker `to` has read what was lent to it.
    pub(super) fn settle(&mut self, lender: Lender, to: usize) -> Result<()> {
        if patiently(|| lender.is_back().then_some(())).is_some() {
            return Ok(());
        }
        self.watch.lends(self.rank, to);
        while !lender.is_back() {
            std::thread::sleep(WATCHING);
            self.watch.look(self.rank)?;
        }
        self.watch.works(self.rank);
        Ok(())
    }

    pub(super) fn send_bytes(&mut self, call: Call, to: usize, bytes: Vec<u8>) -> Result<()> {
        self.dispatch(call, to, bytes.len(), Content::Bytes(bytes))
    }

    fn dispatch(&mut self, call: Call, to: usize, bytes: usize, content: Content) -> Result<()> {
        let arrives = self.ports.as_ref().map(|ports| ports.book(self.rank, to, bytes));
        self.bytes_sent += bytes as u64;
        self.watch.sends(self.rank, to);
        let message = Message { from: self.rank, call, content, arrives };
        self.to[to].send(message).map_err(|_| self.watch.gone(self.rank, to))
    }

    /// Waits for the next message of worker `from`, lets `read` use its numbers, in one or more pieces, and keeps its memory.
    pub(super) fn receive(&mut self, call: Call, from: usize, read: impl FnMut(&[f32])) -> Result<()> {
        let message = self.next_message(call, Some(from))?;
        self.numbers(call, message, read)
    }

    /// The same for whoever's message arrives first; says whose it was.
    pub(super) fn receive_from_any(&mut self, call: Call, read: impl FnMut(&[f32])) -> Result<usize> {
        let message = self.next_message(call, None)?;
        let from = message.from;
        self.numbers(call, message, read).map(|()| from)
    }

    pub(super) fn receive_bytes(&mut self, call: Call, from: usize) -> Result<Vec<u8>> {
        let message = self.next_message(call, Some(from))?;
        match message.content {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Numbers(_) | Content::Lent(_) => Err(self.differ(call, from, message.call)),
        }
    }

    fn numbers(&mut self, call: Call, message: Message, mut read: impl FnMut(&[f32])) -> Result<()> {
        let values = match message.content {
            Content::Numbers(values) => values,
            Content::Lent(loan) => {
                let read = loan.read(read);
                return if read { Ok(()) } else { Err(self.watch.gone(self.rank, message.from)) };
            }
            Content::Bytes(_) => return Err(self.differ(call, message.from, message.call)),
        };
        read(&values);
        // As many as can be sent in one round; empty ones hold no memory.
        if values.capacity() > 0 && self.spare.len() < self.world_size() {
            self.spare.push(values);
        }
        Ok(())
    }

    /// Waits until a message that answers `call` has come and arrived.
    fn next_message(&mut self, call: Call, from: Option<usize>) -> Result<Message> {
        self.watch.waits(self.rank, from);
        let message = loop {
            if let Some(message) = self.take_aside(from) {
                break message;
            }
            if let Some(message) = patiently(|| self.inbox.try_recv().ok()) {
                self.aside[message.from].push_back(message);
                continue;
            }
            match self.inbox.recv_timeout(LOOK) {
                Ok(message) => self.aside[message.from].push_back(message),
                // The inbox can't be disconnected, because this worker, too, could send to it.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.watch.look(self.rank)?,
            }
        };
        self.watch.takes(message.from, self.rank);
        self.check(call, &message)?;
        if let Some(arrives) = message.arrives {
            wait_until(arrives, || self.watch.look(self.rank))?;
        }
        self.watch.works(self.rank);
        Ok(message)
    }

    /// A message of this worker that is already here; of any worker, the one that arrives first.
    fn take_aside(&mut self, from: Option<usize>) -> Option<Message> {
        if let Some(from) = from {
            return self.aside[from].pop_front();
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.aside[message.from].push_back(message);
        }
        let first = |rank: &usize| self.aside[*rank].front().map(|message| message.arrives);
        let earliest = (0..self.world_size()).filter(|rank| first(rank).is_some()).min_by_key(|rank| first(rank))?;
        self.aside[earliest].pop_front()
    }

    /// Refuses a message that belongs to another call.
    fn check(&self, call: Call, message: &Message) -> Result<()> {
        let Operation::Receive { .. } = call.operation else {
            return if message.call == call { Ok(()) } else { Err(self.differ(call, message.from, message.call)) };
        };
        if message.call.operation != (Operation::Send { to: self.rank }) {
            return Err(self.differ(call, message.from, message.call));
        }
        if message.call.elements != call.elements {
            return Err(Error::Worker(format!(
                "worker {} has room for {} numbers, but worker {} sent {}; both must name the same length",
                self.rank, call.elements, message.from, message.call.elements
            )));
        }
        Ok(())
    }

    fn differ(&self, call: Call, from: usize, other: Call) -> Error {
        Error::Worker(format!(
            "worker {} called {call}, but worker {from} called {other}; all workers must make the same calls in the \
             same order",
            self.rank
        ))
    }
}

/// Tries for a moment, before a sleep. The core is left to whoever else wants it meanwhile.
fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Some(found) => return Some(found),
            None if start.elapsed() > WATCHING => return None,
            None => std::thread::yield_now(),
        }
    }
}
