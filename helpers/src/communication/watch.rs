//! Who does what in a team, so that nobody waits for ever.
//!
//! Each worker notes here when it calls, sends, begins to wait and has got its message. A waiting worker looks
//! up every [`LOOK`] and stops when the cell was interrupted, when a worker has failed, when the workers wait for
//! each other in a circle, or when the one that all wait for makes no call for longer than the team's patience.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::collective::Call;
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
    last_sign: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    /// Runs the program's own code, or is about to send.
    Working,
    /// Waits for the next message of this worker, since then.
    Waiting(usize, Instant),
    /// Has its message, which is still on its way over a slow link.
    Arriving,
}

impl Watch {
    pub(super) fn new(world_size: usize, patience: Duration) -> Self {
        let worker = || Worker { doing: Doing::Working, last_call: None, last_sign: Instant::now() };
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

    /// A worker has nothing to do before the next message of `from`.
    pub(super) fn waits(&self, rank: usize, from: usize) {
        self.state().sign(rank, Doing::Waiting(from, Instant::now()));
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

    /// What this worker does, for the text of an error: "worker 1 in barrier (its call 3)".
    pub(super) fn describe(&self, rank: usize) -> String {
        self.state().describe(rank)
    }

    /// Refuses an end at which the workers have not all made the same calls: a broadcast that nobody waited for
    /// stays unnoticed until then.
    pub(super) fn compare_last_calls(&self) -> Result<()> {
        let state = self.state();
        let Some(other) = (1..state.workers.len()).find(|rank| state.last_call(*rank) != state.last_call(0)) else {
            return Ok(());
        };
        Err(Error::Worker(format!(
            "the workers returned after different calls: {}, {}; all workers must make the same calls in the same order",
            state.describe(0),
            state.describe(other)
        )))
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

    /// Follows who waits for whom, from `rank` to one that does not wait, or around a circle.
    ///
    /// A circle whose messages have all been taken is certain to last: each of its workers sends nothing before it
    /// gets something, and all that was noted is noted under this lock.
    fn look(&self, rank: usize, patience: Duration) -> Result<()> {
        let Doing::Waiting(_, since) = self.workers[rank].doing else { return Ok(()) };
        let (mut last, mut way) = (rank, Vec::new());
        while let Doing::Waiting(from, _) = self.workers[last].doing {
            if way.contains(&last) {
                let waits: Vec<String> = way.iter().map(|rank| self.describe(*rank)).collect();
                return Err(Error::Worker(format!(
                    "the workers wait for each other for ever: {}; all workers must make the same calls in the same \
                     order",
                    waits.join(", ")
                )));
            }
            way.push(last);
            if self.under_way[from * self.workers.len() + last] > 0 {
                return Ok(());
            }
            last = from;
        }
        let worker = &self.workers[last];
        // Until somebody waits, nobody is held up: others that compute as long are no reason to complain.
        if worker.doing == Doing::Arriving || worker.last_sign.max(since).elapsed() < patience {
            return Ok(());
        }
        let silent = match worker.last_call {
            Some(call) => format!("made no call since {call}"),
            None => "has made no call yet".to_string(),
        };
        Err(Error::Worker(format!(
            "{} waited {patience:.0?} for worker {last}, which {silent}. All workers must make the same calls in the \
             same order; if it only computes for so long, allow that with Team::patience",
            self.describe(rank)
        )))
    }
}
