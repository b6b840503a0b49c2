//! Which request goes to which connection, and which one waits.

use std::collections::VecDeque;
use std::task::Waker;

use super::answers::Failure;
use super::connection::Answer;
use super::idle_clock::IdleClock;
use super::load_run::late_beyond;
use super::recorder::Recorder;
use super::schedule::Due;

/// Requests that may wait for a connection. Those beyond are given up.
const MOST_WAITING: usize = 1_000_000;

/// A request on its way to a connection.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) due: Due,
    pub(super) index: u64,
    noticed: u64,
}

/// Where a connection's task takes its next request from.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) job: Option<Job>,
    pub(super) waker: Option<Waker>,
}

/// What the tasks share. They run on one thread, and none keeps it borrowed while it waits.
pub(super) struct Dispatcher {
    pub(super) clock: IdleClock,
    waiting: VecDeque<Job>,
    /// Seats without a request, the last used on top.
    free: Vec<usize>,
    pub(super) seats: Vec<Seat>,
    pub(super) recorder: Recorder,
    pub(super) in_flight: u64,
    pub(super) ended: u64,
    pub(super) most_connections: usize,
    pub(super) given_up: u64,
    /// Grows whenever a connection's task does something.
    pub(super) turns: u64,
}

impl Dispatcher {
    /// With so many connections, and nothing to do.
    pub(super) fn new(clock: IdleClock, connections: usize, recorder: Recorder) -> Self {
        Self {
            clock,
            waiting: VecDeque::new(),
            free: (0..connections).rev().collect(),
            seats: (0..connections).map(|_| Seat::default()).collect(),
            recorder,
            in_flight: 0,
            ended: 0,
            most_connections: 0,
            given_up: 0,
            turns: 0,
        }
    }

    /// A request is due: to the connection that was used last, or into the line.
    pub(super) fn hand_over(&mut self, due: Due, index: u64) {
        let counts = self.recorder.counts(due.nanoseconds);
        self.recorder.due += u64::from(counts);
        let job = Job { due, index, noticed: self.clock.now() };
        if let Some(seat) = self.free.pop() {
            self.most_connections = self.most_connections.max(self.seats.len() - self.free.len());
            let seat = &mut self.seats[seat];
            seat.job = Some(job);
            if let Some(waker) = &seat.waker {
                waker.wake_by_ref();
            }
        } else if self.waiting.len() < MOST_WAITING {
            self.recorder.waited_for_connection += u64::from(counts);
            self.waiting.push_back(job);
        } else {
            self.given_up += u64::from(counts);
            return;
        }
        self.in_flight += 1;
    }

    /// A connection has a request in hand, and sends it.
    pub(super) fn begins(&mut self, job: Job) {
        self.turns += 1;
        let now = self.clock.now();
        let woke_late = job.noticed - job.due.nanoseconds;
        let awake = now - job.noticed.max(self.clock.last_idle());
        self.recorder.sends(job.due.nanoseconds, now, woke_late + awake);
    }

    /// A request is over; its connection takes the first in line, if there is one.
    pub(super) fn ends(&mut self, seat: usize, job: Job, end: Result<Answer, Failure>) {
        self.turns += 1;
        let now = self.clock.now();
        self.recorder.ends(job.due.nanoseconds, now, end);
        self.in_flight -= 1;
        self.ended += 1;
        match self.waiting.pop_front() {
            Some(job) => self.seats[seat].job = Some(job),
            None => self.free.push(seat),
        }
    }

    /// The generator could not send what was due, for reasons of its own.
    pub(super) fn is_behind(&self) -> bool {
        self.given_up > 0 || late_beyond(&self.recorder.lateness(), &self.recorder.latencies()).is_some()
    }

    pub(super) fn give_up_waiting(&mut self) {
        let Self { waiting, recorder, .. } = self;
        self.in_flight -= waiting.len() as u64;
        self.given_up += waiting.drain(..).filter(|job| recorder.counts(job.due.nanoseconds)).count() as u64;
    }
}
