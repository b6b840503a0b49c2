//! The store that replicas share in a lesson.

use std::fmt;

use super::local_redis::LocalRedis;
use super::{State, StateServer};
use crate::error::{Error, Result};
use crate::serving::runtime::block_on;
use crate::serving::service::ServiceProcess;

/// Names a Redis to be used; see [`SharedStore::start`].
const URL_VARIABLE: &str = "ONRAMP_REDIS_URL";

/// A running store that several replicas share. Shown as text it says which one it is.
///
/// ```no_run
/// use onramp::serving::SharedStore;
///
/// let mut store = SharedStore::start()?;
/// println!("{store}");
/// let state = store.state().round_trip(0.001);
/// store.kill()?;
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedStore(Running);

#[derive(Debug)]
enum Running {
    /// By its URL. It is somebody's own.
    Given(String),
    Redis(LocalRedis),
    Embedded(ServiceProcess),
}

impl SharedStore {
    /// The Redis whose URL stands in the environment's `ONRAMP_REDIS_URL`; without one, the embedded store, newly started.
    ///
    /// # Errors
    /// As for [`SharedStore::redis`] or [`SharedStore::embedded`].
    pub fn start() -> Result<Self> {
        match std::env::var(URL_VARIABLE) {
            Ok(url) if !url.trim().is_empty() => Self::redis(url.trim()),
            _ => Self::embedded(),
        }
    }

    /// A Redis that runs already, by its URL.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is no URL of a Redis; [`Error::Service`] when it does not answer.
    pub fn redis(url: impl Into<String>) -> Result<Self> {
        let store = Self(Running::Given(url.into()));
        let state = store.state();
        block_on(async { state.open().await?.ping().await })?;
        Ok(store)
    }

    /// A Redis of one's own, newly started, which may be killed.
    ///
    /// # Errors
    /// As for [`LocalRedis::start`].
    pub fn local_redis() -> Result<Self> {
        LocalRedis::start().map(Running::Redis).map(Self)
    }

    /// A [`StateServer`] in memory, newly started.
    ///
    /// # Errors
    /// As for [`StateServer::start`].
    pub fn embedded() -> Result<Self> {
        StateServer::new().start().map(Running::Embedded).map(Self)
    }

    /// What servers are told so that they use it.
    pub fn state(&self) -> State {
        match &self.0 {
            Running::Given(url) => State::redis(url),
            Running::Redis(redis) => State::redis(redis.url()),
            Running::Embedded(process) => State::server(process.address()),
        }
    }

    /// Whether it is a Redis.
    pub fn is_redis(&self) -> bool {
        !matches!(self.0, Running::Embedded(_))
    }

    /// Kills it, with all that it kept.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a Redis that was running before: it is not ours to kill.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.0 {
            Running::Given(_) => Err(not_ours()),
            Running::Redis(redis) => redis.kill(),
            Running::Embedded(process) => process.kill(),
        }
    }

    /// Starts it again, empty, at the same address.
    ///
    /// # Errors
    /// As for [`SharedStore::kill`] and the start.
    pub fn restart(&mut self) -> Result<()> {
        match &mut self.0 {
            Running::Given(_) => Err(not_ours()),
            Running::Redis(redis) => redis.restart(),
            Running::Embedded(process) => {
                process.kill()?;
                *process = StateServer::new().listen(process.address()).start()?;
                Ok(())
            }
        }
    }
}

fn not_ours() -> Error {
    Error::invalid(format!(
        "this Redis was running before, and others may need it; use SharedStore::local_redis() or SharedStore::embedded() for \
         one that can be killed, or unset {URL_VARIABLE}"
    ))
}

impl fmt::Display for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.0 {
            Running::Given(_) => ", which was running before",
            Running::Redis(_) => ", started for this",
            Running::Embedded(_) => ", started for this; it is the embedded one",
        };
        write!(f, "{}{origin}", self.state())
    }
}
