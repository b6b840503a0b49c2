//! A service with a line before it, on a virtual clock.
//!
//! Where [`super::Queue`] has no formula, and where a percentile needs more requests than a lesson has time for: at a load
//! of 95 % ten thousand requests leave the p99 uncertain by a quarter, and a million take hours at 200 requests/s. The
//! replay moves a clock from event to event instead, with service times that were measured one by one.
//!
//! A server that is free takes a batch as soon as it is full, or the first request in line has waited for others as long as
//! the batch wait says; until then they all count as waiting. A request that finds the bounded line full is shed. (Lindley 1952, "The theory of queues with a single server", for one server without batches.)
//!
//! ```
//! use onramp::law::{BatchSeconds, Queue, QueueReplay};
//!
//! let run = QueueReplay::new(160.0, BatchSeconds::constant(0.005)?).requests(200_000).run()?;
//! let law = Queue::m_d_1(160.0, 0.005)?;
//! assert!((run.mean_wait_seconds.median / law.wait_seconds() - 1.0).abs() < 0.05);
//! # Ok::<(), onramp::Error>(())
//! ```

use std::collections::{BinaryHeap, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;
use serde::{Deserialize, Serialize};

use super::BatchSeconds;
use super::queue_replay_run::{Observed, QueueReplayRun};
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// The most requests that a replay takes.
const MOST_REQUESTS: usize = 20_000_000;
/// Between two looks at whether to stop.
const LOOK_EVERY: usize = 65_536;

/// Which requests come to which service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueReplay {
    arrivals: Coming,
    requests: usize,
    warm_up: Option<usize>,
    seconds: BatchSeconds,
    servers: usize,
    batch_cap: usize,
    batch_wait_seconds: f64,
    queue_bound: Option<usize>,
    seed: u64,
}

/// When requests come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Coming {
    Poisson(f64),
    Constant(f64),
    /// At these seconds, rising.
    Moments(Vec<f64>),
}

impl QueueReplay {
    /// 10^6 requests that come at `per_second` independently of each other (Poisson), one at a time to one server that
    /// takes `seconds`.
    pub fn new(per_second: f64, seconds: BatchSeconds) -> Self {
        Self {
            arrivals: Coming::Poisson(per_second),
            requests: 1_000_000,
            warm_up: None,
            seconds,
            servers: 1,
            batch_cap: 1,
            batch_wait_seconds: 0.0,
            queue_bound: None,
            seed: 0,
        }
    }

    /// Requests come at equal distances.
    pub fn constant(mut self) -> Self {
        if let Coming::Poisson(per_second) = self.arrivals {
            self.arrivals = Coming::Constant(per_second);
        }
        self
    }

    /// Requests come at these moments in seconds, for example those of a [`crate::data::RequestLog`].
    pub fn moments(mut self, seconds: impl IntoIterator<Item = f64>) -> Self {
        let moments: Vec<f64> = seconds.into_iter().collect();
        self.requests = moments.len();
        self.arrivals = Coming::Moments(moments);
        self
    }

    /// How many requests come.
    pub fn requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// So many requests at the beginning do not count. Without this, one in a hundred.
    pub fn warm_up(mut self, requests: usize) -> Self {
        self.warm_up = Some(requests);
        self
    }

    /// Servers that take from the same line.
    pub fn servers(mut self, servers: usize) -> Self {
        self.servers = servers;
        self
    }

    /// Requests that a server takes together at most.
    pub fn batch_cap(mut self, requests: usize) -> Self {
        self.batch_cap = requests;
        self
    }

    /// Seconds that a request waits for others to share its batch, when there are fewer than the cap.
    pub fn batch_wait(mut self, seconds: f64) -> Self {
        self.batch_wait_seconds = seconds;
        self
    }

    /// Requests that may wait; those that come when so many do are shed.
    pub fn queue_bound(mut self, requests: usize) -> Self {
        self.queue_bound = Some(requests);
        self
    }

    /// Another seed gives other arrivals and service times by the same laws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Plays all requests; a million take a fraction of a second.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense; [`Error::Interrupted`].
    pub fn run(&self) -> Result<QueueReplayRun> {
        let warm_up = self.validated()?;
        let (mut arrivals, mut service) = (self.stream(0), self.stream(1));
        let mut line = Line { replay: self, waiting: VecDeque::new(), free: BinaryHeap::new(), random: &mut service };
        line.free.extend((0..self.servers).map(|_| Moment(0.0)));
        let mut observed = Observed::default();
        let mut now = 0.0;
        for request in 0..self.requests {
            if request.is_multiple_of(LOOK_EVERY) {
                check_interrupt()?;
            }
            now = match &self.arrivals {
                Coming::Poisson(per_second) => now + arrivals.sample::<f64, _>(Exp1) / per_second,
                Coming::Constant(per_second) => (request + 1) as f64 / per_second,
                Coming::Moments(moments) => moments[request],
            };
            if request == warm_up {
                observed.begin(now);
            }
            line.serve_until(now, &mut observed);
            let counts = request >= warm_up;
            if self.queue_bound.is_some_and(|bound| line.waiting.len() >= bound) {
                observed.shed += u64::from(counts);
            } else {
                line.waiting.push_back(Waiting { since: now, counts });
            }
            if counts {
                observed.came(now);
            }
        }
        line.serve_until(f64::INFINITY, &mut observed);
        observed.summed_up(self)
    }

    /// The requests that don't count.
    fn validated(&self) -> Result<usize> {
        let rate = match &self.arrivals {
            Coming::Poisson(per_second) | Coming::Constant(per_second) => *per_second,
            Coming::Moments(moments) => {
                let bad = moments.iter().find(|moment| !(moment.is_finite() && **moment >= 0.0));
                if bad.is_some() || moments.windows(2).any(|pair| pair[0] > pair[1]) {
                    return Err(Error::invalid(
                        "the moments at which requests come must be seconds from 0 on, one after the other; sort them",
                    ));
                }
                if self.requests > moments.len() {
                    return Err(Error::invalid(format!(
                        "{} requests were asked for and {} moments given; ask for at most as many",
                        self.requests,
                        moments.len()
                    )));
                }
                1.0
            }
        };
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Error::invalid(format!("requests can't come {rate} times a second; use a number above 0")));
        }
        let warm_up = self.warm_up.unwrap_or(self.requests / 100);
        if self.requests > MOST_REQUESTS || self.requests < warm_up + 20 {
            return Err(Error::invalid(format!(
                "{} requests of which {warm_up} do not count can't be replayed; at least 20 must count, and there may be \
                 {MOST_REQUESTS} in all",
                self.requests
            )));
        }
        let wait = self.batch_wait_seconds;
        if self.servers == 0 || self.batch_cap == 0 || self.queue_bound == Some(0) || !(wait.is_finite() && wait >= 0.0)
        {
            return Err(Error::invalid(format!(
                "{} servers with batches of up to {}, a wait of {wait} s and a line for {:?} can't serve; use at least 1 of \
                 each, and a wait of 0 or more",
                self.servers, self.batch_cap, self.queue_bound
            )));
        }
        Ok(warm_up)
    }

    fn stream(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }

    pub(super) fn server_count(&self) -> usize {
        self.servers
    }

    pub(super) fn takes_one_at_a_time(&self) -> bool {
        self.servers == 1 && self.batch_cap == 1 && self.queue_bound.is_none()
    }
}

/// A request in line.
struct Waiting {
    since: f64,
    counts: bool,
}

/// What happens between two arrivals.
struct Line<'a> {
    replay: &'a QueueReplay,
    waiting: VecDeque<Waiting>,
    /// When each server is free, the earliest on top.
    free: BinaryHeap<Moment>,
    random: &'a mut ChaCha8Rng,
}

impl Line<'_> {
    /// Starts all batches that are complete by `now`.
    fn serve_until(&mut self, now: f64, observed: &mut Observed) {
        let QueueReplay { batch_cap, batch_wait_seconds, ref seconds, .. } = *self.replay;
        while let (Some(first), Some(Moment(free))) = (self.waiting.front(), self.free.peek()) {
            // With a full batch there is nothing more to wait for.
            let full = self.waiting.get(batch_cap - 1).map_or(f64::INFINITY, |last| last.since);
            let starts = free.max(full.min(first.since + batch_wait_seconds));
            if starts > now {
                return;
            }
            // Nobody in line has come after `starts`: each looked for batches to start before it joined.
            let size = batch_cap.min(self.waiting.len());
            let took = seconds.draw(size, self.random);
            let ends = starts + took;
            for request in self.waiting.drain(..size) {
                observed.served(request.since, starts, ends, request.counts);
            }
            observed.batch(starts, took, size);
            self.free.pop();
            self.free.push(Moment(ends));
        }
    }
}

/// Seconds in an order in which the earliest is the greatest, as a heap wants it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment(f64);

impl Eq for Moment {}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
