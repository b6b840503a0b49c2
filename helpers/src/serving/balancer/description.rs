//! What a balancer is to do.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::embedded::Embedded;
use super::haproxy::{self, Haproxy};
use super::{Policy, RunningBalancer};
use crate::error::{Error, Result};
use crate::serving::listener::{Listener, listener_setters};

/// A request that failed before it reached a backend, or may be repeated, is sent so many times more.
pub(super) const RETRIES: usize = 3;
/// The longest time that any setting takes.
const LONGEST_SECONDS: f64 = 3600.0;

/// Spreads the requests that come to one address over several backends.
///
/// ```
/// use onramp::serving::{Balancer, Policy};
///
/// let balancer = Balancer::new(["127.0.0.1:9001", "127.0.0.1:9002"]).policy(Policy::LeastConnections);
/// let mut running = balancer.start()?;
/// println!("{} balances at {}", running.program(), running.address());
/// running.add_backend("127.0.0.1:9003")?;
/// assert_eq!(running.load()?.backends.len(), 3);
/// # Ok::<(), onramp::Error>(())
/// ```
///
/// A request that could not be sent because nothing listened at the backend is sent to another one, up to three times: it
/// reached nobody, so nothing happens twice. One that reached a backend whose connection then broke is answered with 502,
/// unless [`Balancer::retry_idempotent`] allows to repeat it. HAProxy answers so only to the first request of a client's
/// connection; at a later one it closes the connection without a word, which in HTTP means that the client may ask again.
///
/// Answers that come from the balancer itself are JSON like those of the prediction server, `{"error": …, "request_id": …}`:
/// 408 for a body that takes too long, 413 for one that is too large, 502 for a backend that broke off or did not
/// answer in HTTP, 503 when no backend is up or free, 504 for one that took too long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    pub(super) backends: Vec<String>,
    pub(super) policy: Policy,
    pub(super) health: HealthCheck,
    pub(super) retry_idempotent: bool,
    pub(super) connections_per_backend: Option<usize>,
    pub(super) queue_bound: usize,
    pub(super) queue_seconds: f64,
    pub(super) connect_seconds: f64,
    pub(super) answer_seconds: f64,
    pub(super) largest_body_bytes: usize,
    pub(crate) listener: Listener,
    pub(super) sender_seconds: f64,
    pub(super) program: Option<Program>,
    /// The socket at which the embedded balancer takes orders; set when it is started.
    pub(super) control: PathBuf,
}

/// How a balancer finds out whether a backend can take requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is asked for; the backend is well when it answers 200.
    pub path: String,
    /// Between two checks of a backend.
    pub interval_seconds: f64,
    /// Checks in a row that must succeed before a backend that was down gets requests again.
    pub rise: u32,
    /// Checks in a row that must fail before a backend gets no more requests. A refused connection does it at once.
    pub fall: u32,
}

/// The program that balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// HAProxy, from the distribution's packages, version 2.6 or newer.
    Haproxy,
    /// A process of this library.
    Embedded,
}

impl Default for HealthCheck {
    /// `/ready` five times a second; one success brings a backend up, two failures take it down.
    fn default() -> Self {
        Self { path: "/ready".to_string(), interval_seconds: 0.2, rise: 1, fall: 2 }
    }
}

impl Balancer {
    /// Round robin over these addresses, such as `127.0.0.1:9001`. There may be none yet: backends can be added to a balancer
    /// that runs.
    pub fn new(backends: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            backends: backends.into_iter().map(Into::into).collect(),
            policy: Policy::default(),
            health: HealthCheck::default(),
            retry_idempotent: false,
            connections_per_backend: None,
            queue_bound: 1024,
            queue_seconds: 5.0,
            connect_seconds: 1.0,
            answer_seconds: 30.0,
            largest_body_bytes: 8 << 20,
            sender_seconds: 10.0,
            listener: Listener::default(),
            program: None,
            control: PathBuf::new(),
        }
    }

    /// The same settings for other backends.
    pub(crate) fn with_backends(self, backends: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { backends: backends.into_iter().map(Into::into).collect(), ..self }
    }

    /// By which rule a backend is chosen.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How it is found out whether a backend can take requests.
    pub fn health_check(mut self, health: HealthCheck) -> Self {
        self.health = health;
        self
    }

    /// Whether an idempotent request, which does the same when it is done twice, is sent again, up to three times, when its
    /// backend broke off before it had answered. It is when its method is GET, HEAD, OPTIONS, PUT or DELETE (RFC 9110,
    /// section 9.2.2), when it is a POST to /predict, since predictions change nothing, or when its header `x-idempotent` is 1.
    ///
    /// To send it again the balancer must have kept it. HAProxy keeps what fits into its buffer of 256 KiB and does not
    /// repeat what is longer; the embedded balancer keeps all.
    pub fn retry_idempotent(mut self, retry: bool) -> Self {
        self.retry_idempotent = retry;
        self
    }

    /// The most requests that a backend has at once; others wait in the balancer. No limit unless this is called.
    pub fn connections_per_backend(mut self, connections: usize) -> Self {
        self.connections_per_backend = Some(connections);
        self
    }

    /// The most requests that wait in the balancer, for all backends together; 503 beyond. 1,024 unless this is called.
    pub fn queue_bound(mut self, requests: usize) -> Self {
        self.queue_bound = requests;
        self
    }

    /// The longest time that a request waits in the balancer before it is answered with 503. 5 s unless this is called.
    pub fn queue_seconds(mut self, seconds: f64) -> Self {
        self.queue_seconds = seconds;
        self
    }

    /// The longest time that connecting to a backend may take. 1 s unless this is called.
    pub fn connect_seconds(mut self, seconds: f64) -> Self {
        self.connect_seconds = seconds;
        self
    }

    /// The longest time that a backend may take to answer; 504 after that. 30 s unless this is called.
    pub fn answer_seconds(mut self, seconds: f64) -> Self {
        self.answer_seconds = seconds;
        self
    }

    /// The longest body of a request; 413 beyond. 8 MiB unless this is called.
    pub fn largest_body_bytes(mut self, bytes: usize) -> Self {
        self.largest_body_bytes = bytes;
        self
    }

    /// Seconds within which all of a request's headers, and then all of its body, must be there; 408 after that. 10 s unless
    /// this is called. HAProxy counts them together; the embedded balancer answers so for a body, and closes a connection
    /// whose headers are not there without a word.
    pub fn slowest_sender(mut self, seconds: f64) -> Self {
        self.sender_seconds = seconds;
        self
    }

    listener_setters!();

    /// Which program balances; HAProxy where it is installed unless this is called.
    pub fn with(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// Starts it, as a process of its own, and waits until it takes requests.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a setting that can't be; [`Error::Worker`] when the program is not there or does not start.
    pub fn start(&self) -> Result<RunningBalancer> {
        self.check()?;
        let program = match self.program {
            Some(program) => program,
            None if haproxy::find().is_ok() => Program::Haproxy,
            None => Program::Embedded,
        };
        let process = match program {
            Program::Haproxy => RunningBalancer::new(self, Box::new(Haproxy::start(self)?)),
            Program::Embedded => RunningBalancer::new(self, Box::new(Embedded::start(self)?)),
        };
        Ok(process)
    }

    /// The configuration that is written for HAProxy.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a setting that can't be.
    pub fn haproxy_configuration(&self) -> Result<String> {
        self.check()?;
        Ok(haproxy::configuration(self))
    }

    /// Every value that becomes part of a configuration file is checked here.
    pub(crate) fn check(&self) -> Result<()> {
        for (place, backend) in self.backends.iter().enumerate() {
            check_address(backend)?;
            if self.backends[..place].contains(backend) {
                return Err(Error::invalid(format!("the backend {backend} is there twice; give each one once")));
            }
        }
        self.policy.check()?;
        self.health.check()?;
        let times = [
            ("queue_seconds", self.queue_seconds),
            ("connect_seconds", self.connect_seconds),
            ("answer_seconds", self.answer_seconds),
            ("slowest_sender", self.sender_seconds),
        ];
        for (name, seconds) in times {
            if !(0.001..=LONGEST_SECONDS).contains(&seconds) {
                return Err(Error::invalid(format!(
                    "{name}({seconds}) is no time to wait; use from 0.001 to {LONGEST_SECONDS} s"
                )));
            }
        }
        if self.connections_per_backend == Some(0) {
            return Err(Error::invalid("connections_per_backend(0) lets no request through; use at least 1"));
        }
        if self.queue_bound == 0 || self.largest_body_bytes == 0 {
            return Err(Error::invalid(format!(
                "queue_bound({}) and largest_body_bytes({}) must be at least 1",
                self.queue_bound, self.largest_body_bytes
            )));
        }
        self.listener.check().map(drop)
    }
}

impl HealthCheck {
    fn check(&self) -> Result<()> {
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || b"-_./?=&".contains(&letter);
        if !self.path.starts_with('/') || !self.path.bytes().all(plain) {
            return Err(Error::invalid(format!(
                "'{}' is no path for a health check; use one such as /ready, of letters, digits and -_./?=&",
                self.path
            )));
        }
        if !(0.01..=LONGEST_SECONDS).contains(&self.interval_seconds) {
            return Err(Error::invalid(format!(
                "health checks every {} s are not possible; use from 0.01 to {LONGEST_SECONDS} s",
                self.interval_seconds
            )));
        }
        if self.rise == 0 || self.fall == 0 {
            return Err(Error::invalid(format!(
                "a backend can't come up after {} checks and go down after {}; use at least 1 for both",
                self.rise, self.fall
            )));
        }
        Ok(())
    }
}

/// # Errors
/// [`Error::InvalidInput`] for what is not an address with a port.
pub(super) fn check_address(address: &str) -> Result<SocketAddr> {
    address
        .parse()
        .map_err(|_| Error::invalid(format!("'{address}' is no address; use number and port, such as 127.0.0.1:9001")))
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Haproxy => "HAProxy",
            Self::Embedded => "the embedded balancer",
        })
    }
}
