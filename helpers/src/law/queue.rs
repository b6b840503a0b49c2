//! How long requests wait in line, from how often they come and how long each takes.
//!
//! ```text
//! rho = lambda s / c                                 load: the share of the time that a server works
//! W_q = lambda s^2 (1 + C^2) / (2 (1 - rho))         M/G/1: one server, any service times (Pollaczek-Khinchine)
//! W_q = C(c, lambda s) s / (c (1 - rho))             M/M/c: c servers, exponential service times (Erlang C)
//! W = W_q + s                                        in line and in service
//! w_p = -ln(1 - p) s / (1 - rho)                     M/M/1: the share p of all is over within w_p
//! ```
//!
//! `lambda` requests come in a second, independently of each other (Poisson, the first M); `s` is the mean service time and
//! `C^2` its variance over `s^2`: 0 for a constant one (M/D/1), 1 for an exponential one (M/M/1). Two lessons stand in these
//! lines: at a load of 80 % a request waits four times as long as at 50 %, and at the same load half of it goes away when
//! every request takes the same time.
//!
//! (Pollaczek 1930 and Khinchine 1932; Erlang 1917; Kleinrock, *Queueing Systems*, 1975.)
//!
//! ```
//! use onramp::law::Queue;
//!
//! let exponential = Queue::m_m_1(160.0, 0.005)?;
//! let constant = Queue::m_d_1(160.0, 0.005)?;
//! assert!((exponential.load() - 0.8).abs() < 1e-12);
//! assert!((exponential.wait_seconds() - 0.020).abs() < 1e-12);
//! assert!((constant.wait_seconds() - 0.010).abs() < 1e-12);
//! # Ok::<(), onramp::Error>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Little;
use crate::display::{Table, chosen, significant};
use crate::error::{Error, Result};

/// A line of requests before one server, or before several that take from the same line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    per_second: f64,
    service_seconds: f64,
    variation: f64,
    servers: usize,
}

impl Queue {
    /// One server with exponential service times: `per_second` requests come, each takes `service_seconds` on average.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that are not finite and above 0.
    pub fn m_m_1(per_second: f64, service_seconds: f64) -> Result<Self> {
        Self::m_g_1(per_second, service_seconds, 1.0)
    }

    /// One server with constant service times.
    ///
    /// # Errors
    /// As [`Queue::m_m_1`].
    pub fn m_d_1(per_second: f64, service_seconds: f64) -> Result<Self> {
        Self::m_g_1(per_second, service_seconds, 0.0)
    }

    /// One server with service times of which only the mean and the squared coefficient of variation (variance over
    /// squared mean) are known.
    ///
    /// # Errors
    /// As [`Queue::m_m_1`]; the variation may be 0.
    pub fn m_g_1(per_second: f64, service_seconds: f64, variation: f64) -> Result<Self> {
        Self { per_second, service_seconds, variation, servers: 1 }.validated()
    }

    /// One server with these measured service times, in seconds.
    ///
    /// # Errors
    /// As [`Queue::m_m_1`], and [`Error::TooFewPoints`] for fewer than two of them.
    pub fn measured(per_second: f64, service_seconds: &[f64]) -> Result<Self> {
        if service_seconds.len() < 2 {
            return Err(Error::TooFewPoints(format!(
                "{} service times have no variation; measure at least 2, better some hundred",
                service_seconds.len()
            )));
        }
        let (mean, variation) = mean_and_variation(service_seconds.iter().copied());
        Self::m_g_1(per_second, mean, variation)
    }

    /// `servers` servers with exponential service times, which take from one line.
    ///
    /// # Errors
    /// As [`Queue::m_m_1`]; there must be a server.
    pub fn m_m_c(per_second: f64, service_seconds: f64, servers: usize) -> Result<Self> {
        Self { per_second, service_seconds, variation: 1.0, servers }.validated()
    }

    fn validated(self) -> Result<Self> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let sensible = positive(self.per_second)
            && positive(self.service_seconds)
            && self.variation.is_finite()
            && self.variation >= 0.0
            && self.servers > 0;
        if sensible {
            return Ok(self);
        }
        Err(Error::invalid(format!(
            "{} requests/s that take {} s each with a squared variation of {} at {} servers make no queue; rate and time \
             must be above 0, the variation 0 or more, and there must be a server",
            self.per_second, self.service_seconds, self.variation, self.servers
        )))
    }

    /// rho: the share of the time that a server works. At 1 and above the line grows for ever.
    pub fn load(&self) -> f64 {
        self.per_second * self.service_seconds / self.servers as f64
    }

    /// Requests per second that the servers can do at most.
    pub fn capacity_per_second(&self) -> f64 {
        self.servers as f64 / self.service_seconds
    }

    /// By how many requests the line grows in a second: what comes beyond the capacity, 0 below it.
    pub fn backlog_per_second(&self) -> f64 {
        (self.per_second - self.capacity_per_second()).max(0.0)
    }

    /// The share of requests that have to wait. One server: rho. Several, with exponential service times: Erlang's C.
    pub fn wait_probability(&self) -> f64 {
        let (offered, load) = (self.per_second * self.service_seconds, self.load());
        if load >= 1.0 {
            return 1.0;
        }
        // Erlang's B by its recurrence, which neither overflows nor cancels.
        let blocked = (1..=self.servers).fold(1.0, |b, servers| offered * b / (servers as f64 + offered * b));
        blocked / (1.0 - load * (1.0 - blocked))
    }

    /// W_q: mean seconds in line before service; infinite from a load of 1 on.
    pub fn wait_seconds(&self) -> f64 {
        if self.load() >= 1.0 {
            return f64::INFINITY;
        }
        // With one server the wait's probability is rho, which makes this the formula of Pollaczek and Khinchine.
        let exponential = self.wait_probability() * self.service_seconds / (self.servers as f64 * (1.0 - self.load()));
        exponential * (1.0 + self.variation) / 2.0
    }

    /// W: mean seconds in line and in service together.
    pub fn sojourn_seconds(&self) -> f64 {
        self.wait_seconds() + self.service_seconds
    }

    /// L: mean number of requests in line and in service, by Little's law.
    pub fn in_system(&self) -> f64 {
        self.per_second * self.sojourn_seconds()
    }

    /// The three numbers of Little's law, as the formulas give them.
    pub fn little(&self) -> Little {
        Little { per_second: self.per_second, seconds: self.sojourn_seconds(), in_system: self.in_system() }
    }

    /// The seconds within which `percent` of the requests are over, line and service together. Exact for M/M/1, whose
    /// time in the system is exponential.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for other queues, which have no such formula, and for a percentage not between 0 and 100.
    pub fn sojourn_percentile(&self, percent: f64) -> Result<f64> {
        if self.servers != 1 || self.variation != 1.0 {
            return Err(Error::invalid(format!(
                "{self} has no formula for percentiles, only M/M/1 has one; replay it with QueueReplay"
            )));
        }
        if !(percent > 0.0 && percent < 100.0) {
            return Err(Error::invalid(format!("there is no percentile {percent}; ask for one between 0 and 100")));
        }
        if self.load() >= 1.0 {
            return Ok(f64::INFINITY);
        }
        Ok(-(1.0 - percent / 100.0).ln() * self.sojourn_seconds())
    }

    /// The queue's numbers.
    pub fn table(&self) -> Table {
        let milliseconds = |seconds: f64| significant(1e3 * seconds);
        let table = Table::new(self.to_string(), ["what", "value"])
            .row(["load, %".to_string(), significant(100.0 * self.load())])
            .row(["capacity, requests/s".to_string(), significant(self.capacity_per_second())])
            .row(["mean wait in line, ms".to_string(), milliseconds(self.wait_seconds())])
            .row(["mean time in the system, ms".to_string(), milliseconds(self.sojourn_seconds())])
            .row(["mean number in the system".to_string(), significant(self.in_system())]);
        let table = match self.sojourn_percentile(99.0) {
            Ok(seconds) => table.row(["p99 of the time in the system, ms".to_string(), milliseconds(seconds)]),
            Err(_) => table,
        };
        if self.load() < 1.0 {
            return table;
        }
        table.note(format!(
            "More comes than can be done: the line grows by {} requests in each second.",
            significant(self.backlog_per_second())
        ))
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

/// For example `M/M/1 with 160 requests/s of 5 ms`.
impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self.variation {
            0.0 => "D".to_string(),
            1.0 => "M".to_string(),
            other => format!("G (squared variation {})", significant(other)),
        };
        let rate = chosen(self.per_second);
        write!(
            f,
            "M/{service}/{} with {rate} requests/s of {} ms",
            self.servers,
            significant(1e3 * self.service_seconds)
        )
    }
}

/// The mean, and the variance over its square.
pub(crate) fn mean_and_variation(values: impl Iterator<Item = f64>) -> (f64, f64) {
    // Welford's sums, which keep their digits however many values there are.
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let before = value - mean;
        mean += before / count;
        squares += before * (value - mean);
    }
    (mean, squares / count / (mean * mean))
}
