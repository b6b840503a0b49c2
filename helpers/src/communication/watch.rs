//! Who does what in a team, so that nobody waits for ever.
//!
//! Each worker notes here when it calls, sends, begins to wait and has got its message. A waiting worker looks
//! up every [`LOOK`] and stops when the cell was interrupted, when a worker has failed, when the workers wait for
//! each other in a circle, or when the one that all wait for makes no call for longer than the team's patience.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::collective::{Call, Operation};
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// How often a waiting worker looks up.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// What all workers of a team know of each other.
pub(super) struct Watch {
    patience: Duration,
    /// Whether `state` holds a failure, to be read without a lock.
    failed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    workers: Vec<Worker>,
    /// Messages from each worker to each other that were sent and not yet taken, at `from * world_size + to`.
    under_way: Vec<usize>,
    /// The first worker that failed, and why.
    failure: Option<(usize, String)>,
}

struct Worker {
    doing: Doing,
    last_call: Option<Call>,
    /// The last one of those that all workers make.
    last_collective: Option<Call>,
    last_sign: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    /// Runs the program's own code, or is about to send.
    Working,
    /// Waits for the next message of this worker, or of any, since then.
    Waiting(Option<usize>, Instant),
    /// Has its message, which is still on its way over a slow link.
    Arriving,
    /// Has lent numbers to this worker, and goes on when they were read, since then.
    Lending(usize, Instant),
    /// Has returned from its work.
    Ended,
}

impl Watch {
    pub(super) fn new(world_size: usize, patience: Duration) -> Self {
        let worker =
            || Worker { doing: Doing::Working, last_call: None, last_collective: None, last_sign: Instant::now() };
        let state = State {
            workers: (0..world_size).map(|_| worker()).collect(),
            under_way: vec![0; world_size * world_size],
            failure: None,
        };
        Self { patience, failed: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// A worker begins a call, unless the team has failed.
    pub(super) fn calls(&self, rank: usize, call: Call) -> Result<()> {
        self.check(rank)?;
        let mut state = self.state();
        state.workers[rank].last_call = Some(call);
        if let Operation::Together(_) = call.operation {
            state.workers[rank].last_collective = Some(call);
        }
        state.sign(rank, Doing::Working);
        Ok(())
    }

    /// A worker sends a message. To be noted before the message can be taken.
    pub(super) fn sends(&self, from: usize, to: usize) {
        let mut state = self.state();
        let index = from * state.workers.len() + to;
        state.under_way[index] += 1;
        state.sign(from, Doing::Working);
    }

    /// A worker has nothing to do before the next message of `from`, or of anybody.
    pub(super) fn waits(&self, rank: usize, from: Option<usize>) {
        self.state().sign(rank, Doing::Waiting(from, Instant::now()));
    }

    /// A worker has nothing to do before `to` has read what was lent to it.
    pub(super) fn lends(&self, rank: usize, to: usize) {
        self.state().sign(rank, Doing::Lending(to, Instant::now()));
    }

    /// A worker has taken the message that it waited for, which will have arrived in a while.
    pub(super) fn takes(&self, from: usize, rank: usize) {
        let mut state = self.state();
        let index = from * state.workers.len() + rank;
        state.under_way[index] -= 1;
        state.sign(rank, Doing::Arriving);
    }

    /// The message has arrived, or the call is over.
    pub(super) fn works(&self, rank: usize) {
        self.state().sign(rank, Doing::Working);
    }

    /// A worker has returned, and makes no further call.
    pub(super) fn ends(&self, rank: usize) {
        self.state().sign(rank, Doing::Ended);
    }

    /// Notes why a worker failed. The first one counts: those after it mostly fail because of it.
    pub(super) fn fails(&self, rank: usize, reason: &str) {
        let mut state = self.state();
        state.workers[rank].doing = Doing::Working;
        state.failure.get_or_insert_with(|| (rank, reason.to_string()));
        self.failed.store(true, Ordering::Release);
    }

    /// The worker that failed first.
    pub(super) fn first_failure(&self) -> Option<usize> {
        self.state().failure.as_ref().map(|(rank, _)| *rank)
    }

    /// Whether this worker may go on.
    pub(super) fn check(&self, rank: usize) -> Result<()> {
        if !self.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.state().failure {
            Some((other, reason)) => {
                Err(Error::Worker(format!("worker {rank} stopped because worker {other} failed: {reason}")))
            }
            None => Ok(()),
        }
    }

    /// Whether this worker may go on waiting.
    pub(super) fn look(&self, rank: usize) -> Result<()> {
        check_interrupt()?;
        self.check(rank)?;
        self.state().look(rank, self.patience)
    }

    /// The error of a worker that needs one which has ended.
    pub(super) fn gone(&self, rank: usize, other: usize) -> Error {
        self.state().gone(rank, other)
    }

    /// Refuses an end at which the workers have not all made the same collective calls, or a message was never
    /// received: a broadcast that nobody waited for stays unnoticed until then.
    pub(super) fn compare_last_calls(&self) -> Result<()> {
        let state = self.state();
        let last = |rank: usize| state.workers[rank].last_collective;
        if let Some(other) = (1..state.workers.len()).find(|rank| last(*rank) != last(0)) {
            let describe = |rank: usize| match last(rank) {
                Some(call) => format!("worker {rank} in {call}"),
                None => format!("worker {rank} before its first call"),
            };
            return Err(Error::Worker(format!(
                "the workers returned after different calls: {}, {}; all workers must make the same calls in the \
                 same order",
                describe(0),
                describe(other)
            )));
        }
        if let Some(index) = state.under_way.iter().position(|messages| *messages > 0) {
            let (from, to) = (index / state.workers.len(), index % state.workers.len());
            return Err(Error::Worker(format!(
                "the workers returned, and worker {to} never received what worker {from} sent to it ({} messages); \
                 each send needs its receive",
                state.under_way[index]
            )));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change in here can fail half-way, so a poisoned lock still holds a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sign(&mut self, rank: usize, doing: Doing) {
        self.workers[rank].doing = doing;
        self.workers[rank].last_sign = Instant::now();
    }

    fn last_call(&self, rank: usize) -> Option<Call> {
        self.workers[rank].last_call
    }

    fn describe(&self, rank: usize) -> String {
        match self.last_call(rank) {
            Some(call) => format!("worker {rank} in {call}"),
            None => format!("worker {rank} before its first call"),
        }
    }

    fn gone(&self, rank: usize, other: usize) -> Error {
        Error::Worker(format!(
            "worker {other} stopped while {} still needed it, so the run can't go on; it ended as {}",
            self.describe(rank),
            self.describe(other)
        ))
    }

    fn is_under_way(&self, from: usize, to: usize) -> bool {
        self.under_way[from * self.workers.len() + to] > 0
    }

    /// Follows who waits for whom, for a message or for one to be read, from `rank` to one that does not wait, or around a
    /// circle.
    ///
    /// A circle whose messages have all been taken is certain to last: each of its workers sends nothing before it
    /// gets something, and all that was noted is noted under this lock.
    fn look(&self, rank: usize, patience: Duration) -> Result<()> {
        let since = match self.workers[rank].doing {
            Doing::Waiting(Some(_), since) | Doing::Lending(_, since) => since,
            Doing::Waiting(None, since) => return self.look_for_any(rank, since, patience),
            _ => return Ok(()),
        };
        let (mut last, mut way) = (rank, Vec::new());
        loop {
            // Whom it needs, and whether it has got what it needs and only doesn't know yet. A message that was taken is read.
            let (needed, goes_on) = match self.workers[last].doing {
                Doing::Waiting(Some(from), _) => (from, self.is_under_way(from, last)),
                Doing::Lending(to, _) => (to, !self.is_under_way(last, to)),
                _ => break,
            };
            if way.contains(&last) {
                let waits: Vec<String> = way.iter().map(|rank| self.describe(*rank)).collect();
                return Err(Error::Worker(format!(
                    "the workers wait for each other for ever: {}; all workers must make the same calls in the same \
                     order",
                    waits.join(", ")
                )));
            }
            way.push(last);
            if goes_on {
                return Ok(());
            }
            last = needed;
        }
        let worker = &self.workers[last];
        if worker.doing == Doing::Ended {
            return Err(self.gone(*way.last().unwrap_or(&rank), last));
        }
        match worker.doing {
            Doing::Arriving => Ok(()),
            _ => self.be_patient(rank, last, since, patience),
        }
    }

    /// Complains about a worker that has shown no sign of life for too long.
    fn be_patient(&self, rank: usize, last: usize, since: Instant, patience: Duration) -> Result<()> {
        // Until somebody waits, nobody is held up: others that compute as long are no reason to complain.
        if self.workers[last].last_sign.max(since).elapsed() < patience {
            return Ok(());
        }
        Err(self.silent(rank, last, patience))
    }

    /// The same for a worker that any message would help.
    fn look_for_any(&self, rank: usize, since: Instant, patience: Duration) -> Result<()> {
        let others = || (0..self.workers.len()).filter(|other| *other != rank);
        if others().any(|other| self.is_under_way(other, rank)) {
            return Ok(());
        }
        let Some(last) = others().filter(|other| self.workers[*other].doing != Doing::Ended).max_by_key(|other| {
            // The one that showed a sign of life last.
            self.workers[*other].last_sign
        }) else {
            return match others().next() {
                Some(other) => Err(self.gone(rank, other)),
                None => Err(Error::invalid("a lone worker can't receive from others; use at least 2 workers")),
            };
        };
        self.be_patient(rank, last, since, patience)
    }

    fn silent(&self, rank: usize, last: usize, patience: Duration) -> Error {
        let silent = match self.workers[last].last_call {
            Some(call) => format!("made no call since {call}"),
            None => "has made no call yet".to_string(),
        };
        Error::Worker(format!(
            "{} waited {patience:.0?} for worker {last}, which {silent}. All workers must make the same calls in the \
             same order; if it only computes for so long, allow that with Team::patience",
            self.describe(rank)
        ))
    }
}
