//! Replicas on a virtual clock: one queue, as many servers as there are ready replicas.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Virtual time in nanoseconds: whole numbers have an order.
pub(super) type Nanoseconds = u64;

/// A whole number of nanoseconds.
pub(super) fn nanoseconds(seconds: f64) -> Nanoseconds {
    (seconds * 1e9).round() as Nanoseconds
}

/// What a request asks for: when it comes, and how long a replica is busy with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) arrives: Nanoseconds,
    pub(super) lasts: Nanoseconds,
}

/// The queue, the replicas, and what has happened so far.
#[derive(Debug)]
pub(super) struct VirtualReplicas {
    cold_start: Nanoseconds,
    now: Nanoseconds,
    waiting: VecDeque<Work>,
    /// When each busy replica will be free.
    busy: BinaryHeap<Reverse<Nanoseconds>>,
    ready: usize,
    /// When each starting replica will be ready, the first one first.
    starting: VecDeque<Nanoseconds>,
    waiting_time: u128,
    replica_time: u128,
    begun: u64,
    waits: u128,
}

impl VirtualReplicas {
    pub(super) fn new(ready: usize, cold_start: Nanoseconds) -> Self {
        Self {
            cold_start,
            now: 0,
            waiting: VecDeque::new(),
            busy: BinaryHeap::new(),
            ready,
            starting: VecDeque::new(),
            waiting_time: 0,
            replica_time: 0,
            begun: 0,
            waits: 0,
        }
    }

    /// Goes on to `until`, with these requests on the way, which arrive in order and not after it.
    pub(super) fn advance(&mut self, until: Nanoseconds, requests: &[Work]) {
        let mut requests = requests.iter();
        let mut next_request = requests.next();
        loop {
            let arrival = next_request.map(|request| request.arrives);
            let free = self.busy.peek().map(|Reverse(free)| *free);
            let ready = self.starting.front().copied();
            let next = [arrival, free, ready].into_iter().flatten().min().filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.pass(next);
            if free == Some(next) {
                self.busy.pop();
            } else if ready == Some(next) {
                self.starting.pop_front();
                self.ready += 1;
            } else {
                self.waiting.extend(next_request);
                next_request = requests.next();
            }
            self.begin();
        }
        self.pass(until);
    }

    /// From now on there are so many, once those that are missing have started. Those that are starting are given up first, and a busy
    /// one goes when its request is done.
    pub(super) fn scale_to(&mut self, replicas: usize) {
        while self.ready + self.starting.len() < replicas {
            self.starting.push_back(self.now + self.cold_start);
        }
        while self.ready + self.starting.len() > replicas && self.starting.pop_back().is_some() {}
        self.ready = self.ready.min(replicas);
    }

    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The area below the number of waiting requests, in request-seconds.
    pub(super) fn waiting_request_seconds(&self) -> f64 {
        self.waiting_time as f64 / 1e9
    }

    /// The area below the number of replicas, starting and stopping ones included.
    pub(super) fn replica_seconds(&self) -> f64 {
        self.replica_time as f64 / 1e9
    }

    /// Seconds that a request waited before a replica took it, on average over those that were taken.
    pub(super) fn mean_wait_seconds(&self) -> f64 {
        self.waits as f64 / 1e9 / self.begun.max(1) as f64
    }

    fn pass(&mut self, until: Nanoseconds) {
        let span = u128::from(until - self.now);
        self.waiting_time += span * self.waiting.len() as u128;
        self.replica_time += span * (self.ready.max(self.busy.len()) + self.starting.len()) as u128;
        self.now = until;
    }

    fn begin(&mut self) {
        while self.busy.len() < self.ready {
            let Some(request) = self.waiting.pop_front() else { break };
            self.busy.push(Reverse(self.now + request.lasts));
            self.waits += u128::from(self.now - request.arrives);
            self.begun += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{VirtualReplicas, Work};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn one_server_takes_one_after_the_other() {
        let mut replicas = VirtualReplicas::new(1, 0);
        // At 1, 2 and 3 s, 2 s each: the second waits 1 s, the third 2 s.
        let requests = [1, 2, 3].map(|second| Work { arrives: second * SECOND, lasts: 2 * SECOND });
        replicas.advance(10 * SECOND, &requests);
        assert_eq!(replicas.waiting(), 0);
        assert_eq!(replicas.waiting_request_seconds(), 3.0);
        assert_eq!(replicas.mean_wait_seconds(), 1.0);
        assert_eq!(replicas.replica_seconds(), 10.0);
    }

    #[test]
    fn a_replica_serves_after_its_start_and_a_busy_one_goes_after_its_request() {
        let mut replicas = VirtualReplicas::new(1, 3 * SECOND);
        let requests = [0, 0].map(|second| Work { arrives: second, lasts: 10 * SECOND });
        replicas.advance(SECOND, &requests);
        replicas.scale_to(2);
        assert_eq!(replicas.ready(), 1);
        replicas.advance(5 * SECOND, &[]);
        assert_eq!((replicas.ready(), replicas.waiting()), (2, 0));
        // The second request was taken at 4 s.
        assert_eq!(replicas.waiting_request_seconds(), 4.0);
        replicas.scale_to(1);
        replicas.advance(20 * SECOND, &[]);
        // One replica all the time, and the other from its order at 1 s to the end of its request at 10 s, when the first one
        // is free again; the request taken at 4 s then runs on until 14 s.
        assert_eq!(replicas.replica_seconds(), 20.0 + 9.0);
    }

    #[test]
    fn a_start_that_is_not_wanted_any_more_is_given_up() {
        let mut replicas = VirtualReplicas::new(2, 3 * SECOND);
        replicas.scale_to(5);
        replicas.advance(SECOND, &[]);
        replicas.scale_to(3);
        replicas.advance(10 * SECOND, &[]);
        assert_eq!(replicas.ready(), 3);
    }
}
