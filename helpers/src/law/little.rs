//! How many are inside, from how often they come and how long they stay.
//!
//! ```text
//! L = lambda W
//! ```
//!
//! `L` is the mean number of requests inside, `lambda` how many come in a second, `W` the mean seconds that each stays. It
//! holds for whatever is steady, whichever way it works inside, so it is a check on measurements: count L at regular times,
//! apart from the latencies, and compare.
//!
//! (Little 1961, "A proof for the queuing formula: L = lambda W".)
//!
//! ```
//! use onramp::law::Little;
//!
//! let little = Little { per_second: 200.0, seconds: 0.010, in_system: 2.1 };
//! assert_eq!(little.expected(), 2.0);
//! assert!((little.ratio() - 1.05).abs() < 1e-9);
//! ```

use serde::{Deserialize, Serialize};

/// The three numbers of the law, each measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Little {
    /// lambda: requests that come in a second.
    pub per_second: f64,
    /// W: mean seconds that one is inside.
    pub seconds: f64,
    /// L: mean number inside, counted at regular times.
    pub in_system: f64,
}

impl Little {
    /// lambda W, which L should be.
    pub fn expected(&self) -> f64 {
        self.per_second * self.seconds
    }

    /// L over lambda W: 1 where the law holds.
    pub fn ratio(&self) -> f64 {
        self.in_system / self.expected()
    }
}
