//! One backend, as the embedded balancer knows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::serving::balancer::{BackendLoad, BackendState, HealthCheck};

/// A backend at one address.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) number: usize,
    pub(super) address: String,
    /// One for each request that it may have at once.
    pub(super) slots: Arc<Semaphore>,
    /// Its counts go on when it comes back at another address.
    pub(super) counts: Arc<Counts>,
    health: Mutex<Health>,
}

/// What is counted of a backend.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) in_flight: Arc<Gauge>,
    pub(super) waiting: Arc<Gauge>,
}

/// How many there are now, and the most that there were.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// One more, for as long as it lives.
#[derive(Debug)]
pub(super) struct Entered(Arc<Gauge>);

/// What is known about a backend's health.
#[derive(Debug)]
struct Health {
    standing: Standing,
    successes: u32,
    failures: u32,
}

/// Whether a backend is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its checks succeed.
    Up,
    /// Not checked yet, or a request to it has just failed: it is chosen only when no other is up, until a check succeeds.
    Doubtful,
    /// Its checks fail.
    Down,
    /// It finishes what it has.
    Paused,
}

impl Backend {
    pub(super) fn new(number: usize, address: &str, slots: usize, counts: Arc<Counts>) -> Self {
        let health = Mutex::new(Health { standing: Standing::Doubtful, successes: 0, failures: 0 });
        Self { number, address: address.to_string(), slots: Arc::new(Semaphore::new(slots)), counts, health }
    }

    pub(super) fn standing(&self) -> Standing {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).standing
    }

    /// Takes in the result of a check; returns the standing if it is another one now.
    pub(super) fn checked(&self, well: bool, rule: &HealthCheck) -> Option<Standing> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let before = health.standing;
        if well {
            health.failures = 0;
            health.successes = health.successes.saturating_add(1);
        } else {
            health.successes = 0;
            health.failures = health.failures.saturating_add(1);
        }
        health.standing = match before {
            Standing::Paused => before,
            _ if health.successes >= rule.rise => Standing::Up,
            _ if health.failures >= rule.fall => Standing::Down,
            _ => before,
        };
        (health.standing != before).then_some(health.standing)
    }

    /// Sets the standing; only a paused backend stays as it is. Returns whether that changed anything.
    pub(super) fn set(&self, standing: Standing) -> bool {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.standing == standing || health.standing == Standing::Paused {
            return false;
        }
        *health = Health { standing, successes: 0, failures: 0 };
        true
    }

    pub(super) fn load(&self) -> BackendLoad {
        let counts = &self.counts;
        BackendLoad {
            number: self.number,
            address: self.address.clone(),
            state: match self.standing() {
                Standing::Up => BackendState::Up,
                Standing::Doubtful | Standing::Down => BackendState::Down,
                Standing::Paused => BackendState::Draining,
            },
            requests: counts.requests.load(Ordering::Relaxed),
            failures: counts.failures.load(Ordering::Relaxed),
            in_flight: counts.in_flight.now(),
            most_in_flight: counts.in_flight.most(),
            waiting: counts.waiting.now(),
            most_waiting: counts.waiting.most(),
        }
    }
}

impl Gauge {
    pub(super) fn enter(self: &Arc<Self>) -> Entered {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Entered(self.clone())
    }

    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(super) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}
