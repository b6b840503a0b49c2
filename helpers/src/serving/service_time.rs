//! How long a service takes that only waits.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Seconds that a batch takes: a part that does not depend on its rows, constant or drawn, and a part for each row.
///
/// A service of such waits is *emulated*: it takes no core, so many replicas of it run on a machine of few cores.
///
/// ```
/// use onramp::serving::ServiceTime;
///
/// let five = ServiceTime::constant(0.005).per_row(0.001);
/// assert_eq!(five.mean_seconds(10), 0.015);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServiceTime {
    seconds: f64,
    exponential: bool,
    per_row: f64,
    seed: u64,
}

impl ServiceTime {
    /// The same for each batch.
    pub fn constant(seconds: f64) -> Self {
        Self { seconds, exponential: false, per_row: 0.0, seed: 0 }
    }

    /// Drawn from the exponential law with this mean.
    pub fn exponential(mean_seconds: f64) -> Self {
        Self { exponential: true, ..Self::constant(mean_seconds) }
    }

    /// And so many seconds for each row of the batch.
    pub fn per_row(mut self, seconds: f64) -> Self {
        self.per_row = seconds;
        self
    }

    /// Another seed draws other times.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The mean for a batch of so many rows.
    pub fn mean_seconds(&self, rows: usize) -> f64 {
        self.seconds + self.per_row * rows as f64
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let sensible = |seconds: f64| seconds.is_finite() && (0.0..=60.0).contains(&seconds);
        if sensible(self.seconds) && sensible(self.per_row) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a service can't take {} s for a batch and {} s for a row; use seconds from 0 to 60, such as 0.005",
            self.seconds, self.per_row
        )))
    }

    pub(crate) fn waits(&self) -> Waits {
        sharpen_sleep();
        Waits { time: *self, rng: ChaCha8Rng::seed_from_u64(self.seed) }
    }
}

/// The times of one server, one after the other.
#[derive(Debug)]
pub(crate) struct Waits {
    time: ServiceTime,
    rng: ChaCha8Rng,
}

impl Waits {
    /// Takes as long as a batch of so many rows does, from `start` on.
    pub(crate) fn wait(&mut self, rows: usize, start: Instant) {
        let factor = if self.time.exponential { self.rng.sample::<f64, _>(Exp1) } else { 1.0 };
        let seconds = factor * self.time.seconds + self.time.per_row * rows as f64;
        let end = start + Duration::from_secs_f64(seconds);
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
    }
}

/// Lets a sleep of this thread end on time, not up to 50 microseconds later with others of that moment.
fn sharpen_sleep() {
    #[cfg(target_os = "linux")]
    // SAFETY: prctl only changes a number that belongs to this thread.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0_u64, 0_u64, 0_u64);
    }
}
