//! Which calls stall.
//!
//! Whether a call stalls at a hop is drawn from the hop's seed, the number of the call, and which copy of it this is. So a run is
//! the same again however its calls interleave, the replay has the very stalls of the real chain, and a call that is asked
//! a second time by another way meets the same fate.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A share of all calls that take longer by a fixed time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Stalls {
    pub(super) share: f64,
    pub(super) seconds: f64,
    pub(super) seed: u64,
}

impl Stalls {
    /// One of a hundred calls, 50 ms.
    pub(super) fn new(seed: u64) -> Self {
        Self { share: 0.01, seconds: 0.05, seed }
    }

    /// Seconds by which this copy of a call takes longer: 0 for most.
    pub(super) fn of(&self, call: u64, copy: u64) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(call.wrapping_mul(2).wrapping_add(copy));
        if rng.random_bool(self.share) { self.seconds } else { 0.0 }
    }

    pub(super) fn validate(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.share) && (0.0..=60.0).contains(&self.seconds) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a share of {} of the calls can't stall for {} s; use a share from 0 to 1, such as 0.01, and 0 to 60 s",
            self.share, self.seconds
        )))
    }
}
