//! How long a thread had nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts the time in which the generator's thread waits for its next request or for an answer. What is left is work, or
/// time in which it wanted to work and another program had its core.
///
/// It is shared with the runtime's hooks, which run on the same thread; so no order between threads is needed.
#[derive(Clone)]
pub(super) struct IdleClock {
    begun: Instant,
    asleep_since: Arc<AtomicU64>,
    idle: Arc<AtomicU64>,
}

impl IdleClock {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), asleep_since: Arc::default(), idle: Arc::default() }
    }

    /// The thread goes to sleep.
    pub(super) fn falls_asleep(&self) {
        self.asleep_since.store(self.now(), Ordering::Relaxed);
    }

    /// The thread is awake again.
    pub(super) fn wakes(&self) {
        self.add(self.now() - self.asleep_since.load(Ordering::Relaxed));
    }

    /// The thread looked around for so long and found nothing.
    pub(super) fn looked_around(&self, time: Duration) {
        self.add(time.as_nanos() as u64);
    }

    /// Idle nanoseconds until now.
    pub(super) fn idle_nanoseconds(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    fn add(&self, nanoseconds: u64) {
        self.idle.store(self.idle_nanoseconds() + nanoseconds, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }
}
