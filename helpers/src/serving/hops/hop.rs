//! One service of a chain.

use serde::{Deserialize, Serialize};

use super::Hedge;
use super::stalls::Stalls;
use crate::error::{Error, Result};
use crate::serving::listener::{Listener, listener_setters};
use crate::serving::{Service, ServiceProcess};

/// A service that works for a moment, rarely stalls, and calls the next one first, if there is one.
///
/// `GET /call` answers with the hops that worked for it. The header `x-deadline-ms` says how long its caller waits; what the hop
/// passes on is nine tenths of what is left after its own work, so that the hop that is too late is known by name before
/// those in front of it give up. A next hop that can't be reached is 502, one that is too late 504, and both name it; when it is
/// optional, the answer goes out without its part and says so. Work and stalls are timed waits: *emulated*.
///
/// ```no_run
/// use onramp::serving::Hop;
///
/// let price = Hop::new("price").work(0.001).start()?;
/// let shop = Hop::new("shop").next("price", [price.address()]).optional().start()?;
/// println!("GET {}/call", shop.url());
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    pub(super) name: String,
    pub(super) work_seconds: f64,
    pub(super) stalls: Stalls,
    pub(super) next: Option<NextHop>,
    pub(super) deadline_seconds: f64,
    pub(crate) listener: Listener,
}

/// Whom to call, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NextHop {
    pub(super) name: String,
    pub(super) addresses: Vec<String>,
    pub(super) optional: bool,
    pub(super) hedge: Option<Hedge>,
}

impl Hop {
    /// A hop that calls nobody, has no work to speak of, and stalls for 50 ms at one of a hundred calls.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            work_seconds: 0.0,
            stalls: Stalls::new(0),
            next: None,
            deadline_seconds: 1.0,
            listener: Listener::default(),
        }
    }

    /// Seconds that its own work takes: a timed wait.
    pub fn work(mut self, seconds: f64) -> Self {
        self.work_seconds = seconds;
        self
    }

    /// The share of calls that take longer, and by how many seconds.
    pub fn stalls(mut self, share: f64, seconds: f64) -> Self {
        (self.stalls.share, self.stalls.seconds) = (share, seconds);
        self
    }

    /// Another seed stalls at other calls.
    pub fn seed(mut self, seed: u64) -> Self {
        self.stalls.seed = seed;
        self
    }

    /// The hop that it calls, and where that is: one address for each of its replicas. A first copy goes to the
    /// first address, a second one to the second, or to the first where there is but one.
    pub fn next<Address: Into<String>>(
        mut self,
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = Address>,
    ) -> Self {
        let addresses = addresses.into_iter().map(Into::into).collect();
        self.next = Some(NextHop { name: name.into(), addresses, optional: false, hedge: None });
        self
    }

    /// The answer can do without the next hop. Nothing changes where there is none.
    pub fn optional(mut self) -> Self {
        self.next.iter_mut().for_each(|next| next.optional = true);
        self
    }

    /// Calls of the next hop are hedged. Nothing changes where there is none.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.next.iter_mut().for_each(|next| next.hedge = Some(hedge));
        self
    }

    /// Seconds that a call may take when it does not say so itself in the header `x-deadline-ms`.
    pub fn deadline(mut self, seconds: f64) -> Self {
        self.deadline_seconds = seconds;
        self
    }

    listener_setters!();

    /// Starts the hop as a process of its own, and waits until it listens.
    ///
    /// # Errors
    /// As for [`Service::start`].
    pub fn start(&self) -> Result<ServiceProcess> {
        self.validate()?;
        Service::Hop(self.clone()).start()
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::invalid("a hop needs a name, such as \"price\", to be told from the others"));
        }
        let (work, deadline) = (self.work_seconds, self.deadline_seconds);
        if !(0.0..=60.0).contains(&work) || !(0.001..=3600.0).contains(&deadline) {
            return Err(Error::invalid(format!(
                "{} can't work for {work} s within {deadline} s; use 0 to 60 s of work and 0.001 to 3600 s to do it in",
                self.name
            )));
        }
        self.stalls.validate()?;
        self.next.as_ref().map_or(Ok(()), NextHop::validate)
    }
}

impl NextHop {
    pub(super) fn validate(&self) -> Result<()> {
        if self.name.is_empty() || self.addresses.is_empty() {
            return Err(Error::invalid(format!(
                "the next hop \"{}\" has {} addresses; give it a name and at least one, such as 127.0.0.1:8080",
                self.name,
                self.addresses.len()
            )));
        }
        for address in &self.addresses {
            address.parse::<std::net::SocketAddr>().map_err(|_| {
                Error::invalid(format!("'{address}' is no address of {}; use one such as 127.0.0.1:8080", self.name))
            })?;
        }
        self.hedge.as_ref().map_or(Ok(()), Hedge::validate)
    }
}
