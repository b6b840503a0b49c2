//! A network link: how long a message takes.
//!
//! A message of n bytes arrives alpha + n / W seconds after it was sent, alpha the latency and W the bytes per
//! second (the alpha-beta model of Hockney 1994; beta = 1 / W). Each worker sends one message at a time
//! and receives one at a time, both at W.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Below this latency the waits are no longer than what waking a thread takes (20 to 80 microseconds).
const SHORTEST_EMULATED_LATENCY: f64 = 50e-6;
/// Above this rate copying the bytes between threads takes as long as the link itself.
const FASTEST_EMULATED_BYTES_PER_SECOND: f64 = 2.5e9 / 8.0;

/// A link between workers.
///
/// ```
/// use onramp::communication::Link;
///
/// let link = Link::lan();
/// assert_eq!(link.seconds(0.0), 100e-6);
/// assert_eq!(link.seconds(125e6), 100e-6 + 1.0); // 1 Gb/s is 125 million bytes per second
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    name: String,
    latency_seconds: f64,
    bytes_per_second: f64,
}

impl Link {
    /// A local network: 1 Gb/s, 100 microseconds.
    pub fn lan() -> Self {
        Self { name: "LAN".to_string(), latency_seconds: 100e-6, bytes_per_second: 125e6 }
    }

    /// A wide-area network: 100 Mb/s, 10 milliseconds.
    pub fn wan() -> Self {
        Self { name: "WAN".to_string(), latency_seconds: 10e-3, bytes_per_second: 12.5e6 }
    }

    /// A network inside a data centre: 25 Gb/s, 10 microseconds.
    pub fn data_center() -> Self {
        Self { name: "data center".to_string(), latency_seconds: 10e-6, bytes_per_second: 3.125e9 }
    }

    /// A link of your own.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the latency is not a number of seconds from 0 up, or the rate is not above 0.
    pub fn custom(name: &str, latency_seconds: f64, bytes_per_second: f64) -> Result<Self> {
        if !(latency_seconds.is_finite() && latency_seconds >= 0.0) {
            return Err(Error::invalid(format!(
                "the link '{name}' has a latency of {latency_seconds} s; use 0 or more, such as 100e-6 for \
                 100 microseconds"
            )));
        }
        if !(bytes_per_second.is_finite() && bytes_per_second > 0.0) {
            return Err(Error::invalid(format!(
                "the link '{name}' carries {bytes_per_second} bytes/s; use a number above 0, such as 125e6 for 1 Gb/s"
            )));
        }
        Ok(Self { name: name.to_string(), latency_seconds, bytes_per_second })
    }

    /// What the link is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds until an empty message arrives, alpha.
    pub fn latency_seconds(&self) -> f64 {
        self.latency_seconds
    }

    /// Bytes that leave or reach a worker in a second, W.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes_per_second
    }

    /// Seconds from sending a message of this many bytes until all of it has arrived: alpha + n / W.
    pub fn seconds(&self, bytes: f64) -> f64 {
        self.latency_seconds + bytes / self.bytes_per_second
    }

    /// Whether threads of this process can stand in for machines on this link.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] with the reason when the link is faster than threads can imitate.
    pub fn can_be_emulated(&self) -> Result<()> {
        let too_quick = self.latency_seconds < SHORTEST_EMULATED_LATENCY;
        let too_fast = self.bytes_per_second > FASTEST_EMULATED_BYTES_PER_SECOND;
        if too_quick || too_fast {
            return Err(Error::invalid(format!(
                "the link {self} can't be emulated on this machine: waking a thread takes 20 to 80 microseconds and \
                 copying between threads runs at a few GB/s, so what would be timed is this machine, not the link. \
                 Use a replay, or a link with at least {:.0} microseconds and at most {:.1} Gb/s",
                1e6 * SHORTEST_EMULATED_LATENCY,
                8e-9 * FASTEST_EMULATED_BYTES_PER_SECOND
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = 8.0 * self.bytes_per_second;
        let rate = if bits >= 1e9 { format!("{} Gb/s", bits / 1e9) } else { format!("{} Mb/s", bits / 1e6) };
        let delay = self.latency_seconds;
        let delay = if delay >= 1e-3 { format!("{} ms", delay * 1e3) } else { format!("{:.0} us", delay * 1e6) };
        write!(f, "{} ({rate}, {delay})", self.name)
    }
}
