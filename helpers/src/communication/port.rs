//! A worker's place on a shaped link: when a message may leave, and when it has arrived.
//!
//! Each worker has a way out and a way in, both W bytes per second. A message takes n / W seconds of the
//! sender's way out and of the receiver's way in, and arrives alpha later. Both ways are token buckets without
//! a reserve: they remember when they are free again, and a message that comes earlier waits.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Link;
use super::watch::LOOK;
use crate::error::Result;

/// Waits end this early in sleep and are finished by watching the clock.
const SPIN: Duration = Duration::from_micros(200);

/// When each worker's way in and way out is free again.
#[derive(Debug)]
pub(super) struct Ports {
    link: Link,
    ways_out: Vec<Mutex<Instant>>,
    ways_in: Vec<Mutex<Instant>>,
}

impl Ports {
    pub(super) fn new(link: Link, world_size: usize) -> Self {
        let free_now = || (0..world_size).map(|_| Mutex::new(Instant::now())).collect();
        Self { link, ways_out: free_now(), ways_in: free_now() }
    }

    /// Books the way for a message that is sent now, and says when all of it has arrived.
    pub(super) fn book(&self, from: usize, to: usize, bytes: usize) -> Instant {
        let lasts = Duration::from_secs_f64(bytes as f64 / self.link.bytes_per_second());
        // A poisoned lock still holds a valid time: nothing in here can fail half-way. Ways out are locked
        // before ways in everywhere, so two senders can't wait for each other.
        let mut out = self.ways_out[from].lock().unwrap_or_else(PoisonError::into_inner);
        let mut into = self.ways_in[to].lock().unwrap_or_else(PoisonError::into_inner);
        let departs = Instant::now().max(*out).max(*into);
        *out = departs + lasts;
        *into = departs + lasts;
        departs + lasts + Duration::from_secs_f64(self.link.latency_seconds())
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
