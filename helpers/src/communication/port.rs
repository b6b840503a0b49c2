//! A worker's place on a shaped link: when a message may leave, and when it has arrived.
//!
//! Each worker has a way out and a way in, both W bytes per second. A message takes n / W seconds of the
//! sender's way out and of the receiver's way in, the first that are free in both, and arrives alpha later. Both ways
//! are token buckets without a reserve: nobody sends faster than W for having been silent before.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Link;
use super::watch::LOOK;
use crate::error::Result;

/// Waits end this early in sleep and are finished by watching the clock.
const SPIN: Duration = Duration::from_micros(200);

/// When each worker's way in and way out is taken, on any clock that counts seconds.
#[derive(Debug)]
pub(super) struct Ways {
    link: Link,
    out: Vec<Taken>,
    into: Vec<Taken>,
}

/// Spans of time that don't overlap, in their order.
#[derive(Debug, Default, Clone)]
struct Taken(Vec<(f64, f64)>);

impl Ways {
    pub(super) fn new(link: &Link, world_size: usize) -> Self {
        let free = vec![Taken::default(); world_size];
        Self { link: link.clone(), out: free.clone(), into: free }
    }

    /// Books the ways for a message that is sent `now`, and says when all of it has arrived.
    pub(super) fn book(&mut self, now: f64, from: usize, to: usize, bytes: usize) -> f64 {
        let lasts = bytes as f64 / self.link.bytes_per_second();
        let (out, into) = (&mut self.out[from], &mut self.into[to]);
        let mut departs = now;
        // Each way moves it past a span that is in its way, until neither does.
        loop {
            let later = into.free_from(out.free_from(departs, lasts), lasts);
            if later <= departs {
                break;
            }
            departs = later;
        }
        if lasts > 0.0 {
            out.add(departs, departs + lasts);
            into.add(departs, departs + lasts);
        }
        departs + lasts + self.link.latency_seconds()
    }

    /// Forgets what ended before `now`, when nothing will be sent earlier.
    pub(super) fn forget(&mut self, now: f64) {
        for taken in self.out.iter_mut().chain(&mut self.into) {
            let past = taken.0.iter().take_while(|(_, end)| *end <= now).count();
            taken.0.drain(..past);
        }
    }
}

impl Taken {
    /// The first moment from `start` on at which it is free for so long.
    fn free_from(&self, mut start: f64, lasts: f64) -> f64 {
        for (begin, end) in &self.0 {
            if start + lasts > *begin && start < *end {
                start = *end;
            }
        }
        start
    }

    /// `begin` to `end` must be free.
    fn add(&mut self, begin: f64, end: f64) {
        let place = self.0.partition_point(|(other, _)| *other < begin);
        self.0.insert(place, (begin, end));
    }
}

/// The ways of a team's workers, on the real clock.
#[derive(Debug)]
pub(super) struct Ports {
    start: Instant,
    ways: Mutex<Ways>,
}

impl Ports {
    pub(super) fn new(link: &Link, world_size: usize) -> Self {
        Self { start: Instant::now(), ways: Mutex::new(Ways::new(link, world_size)) }
    }

    /// Books the way for a message that is sent now, and says when all of it has arrived.
    pub(super) fn book(&self, from: usize, to: usize, bytes: usize) -> Instant {
        // A poisoned lock still holds valid times: nothing in here can fail half-way.
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.start.elapsed().as_secs_f64();
        ways.forget(now);
        self.start + Duration::from_secs_f64(ways.book(now, from, to, bytes))
    }
}

/// Waits until `moment`: asleep while it is far, watching the clock for the last part, because a sleep ends
/// 25 to 80 microseconds late. A long wait looks up every [`LOOK`] and ends with the error of `check`.
pub(super) fn wait_until(moment: Instant, check: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if left > LOOK {
            std::thread::sleep(LOOK);
            check()?;
        } else if left > SPIN {
            std::thread::sleep(left - SPIN);
        } else {
            std::hint::spin_loop();
        }
    }
}
