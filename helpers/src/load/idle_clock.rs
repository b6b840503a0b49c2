//! How long a thread had nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Knows when the generator's thread waits for its next request or for an answer. What is left is work, or time in which it
/// wanted to work and another program had its core. A thread that goes to sleep has done all that there was to do.
///
/// It is shared with the runtime's hooks, which run on the same thread; so no order between threads is needed.
#[derive(Clone)]
pub(super) struct IdleClock {
    begun: Instant,
    asleep_since: Arc<AtomicU64>,
    last_idle: Arc<AtomicU64>,
    idle: Arc<AtomicU64>,
}

impl IdleClock {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), asleep_since: Arc::default(), last_idle: Arc::default(), idle: Arc::default() }
    }

    /// The thread goes to sleep.
    pub(super) fn falls_asleep(&self) {
        self.asleep_since.store(self.now(), Ordering::Relaxed);
    }

    /// The thread is awake again.
    pub(super) fn wakes(&self) {
        self.was_idle(self.asleep_since.load(Ordering::Relaxed), self.now());
    }

    /// The thread looked around from one moment to another, and found nothing.
    pub(super) fn was_idle(&self, from: u64, to: u64) {
        self.idle.store(self.idle_nanoseconds() + to - from, Ordering::Relaxed);
        self.last_idle.store(to, Ordering::Relaxed);
    }

    /// Idle nanoseconds until now.
    pub(super) fn idle_nanoseconds(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    /// The last moment at which there was nothing to do.
    pub(super) fn last_idle(&self) -> u64 {
        self.last_idle.load(Ordering::Relaxed)
    }

    /// Nanoseconds since the clock was made.
    pub(super) fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// The moment at which the clock shows so many nanoseconds.
    pub(super) fn moment(&self, nanoseconds: u64) -> Instant {
        self.begun + Duration::from_nanos(nanoseconds)
    }
}

/// How the thread's idle time is taken at both ends of the counted time.
pub(super) struct IdleInTime {
    from: u64,
    to: u64,
    begun: Option<(u64, u64)>,
    over: Option<(u64, u64)>,
}

impl IdleInTime {
    pub(super) fn new(from: u64, to: u64) -> Self {
        Self { from, to, begun: None, over: None }
    }

    pub(super) fn look(&mut self, now: u64, clock: &IdleClock) {
        if now >= self.from && self.begun.is_none() {
            self.begun = Some((now, clock.idle_nanoseconds()));
        }
        if now >= self.to && self.over.is_none() {
            self.over = Some((now, clock.idle_nanoseconds()));
        }
    }

    /// The share of that time in which the thread was not idle.
    pub(super) fn busy(&self) -> f64 {
        match (self.begun, self.over) {
            (Some((from, idle_before)), Some((to, idle))) if to > from => {
                1.0 - (idle - idle_before) as f64 / (to - from) as f64
            }
            _ => 1.0,
        }
    }
}
