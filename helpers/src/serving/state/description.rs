//! Where sessions are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file_store::FileStore;
use super::memory_store::MemoryStore;
use super::redis_store::{self, RedisStore};
use super::remote_store::RemoteStore;
use super::session_store::{SessionStore, Store};
use crate::error::{Error, Result};

/// Far beyond what the other end of the world takes.
const LONGEST_ROUND_TRIP_SECONDS: f64 = 10.0;
const LONGEST_TIMEOUT_SECONDS: f64 = 60.0;

/// Where a server keeps what it remembers of its clients.
///
/// ```
/// use onramp::serving::State;
///
/// let own = State::memory();
/// let shared = State::redis("redis://127.0.0.1:6379").round_trip(0.001);
/// assert_eq!(own.to_string(), "the replica's own memory");
/// assert_eq!(shared.to_string(), "the Redis at 127.0.0.1:6379 (emulated round trip of 0.001 s)");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    place: Place,
    round_trip_seconds: f64,
    timeout_seconds: f64,
    token: Option<String>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Memory,
    File(PathBuf),
    Server(String),
    Redis(String),
}

impl State {
    /// In the replica's own memory, lost with it.
    pub fn memory() -> Self {
        Self::at(Place::Memory)
    }

    /// In a database file of the replica's own (redb). It survives the replica's death; no two replicas can share it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::File(path.into()))
    }

    /// In a running [`StateServer`](super::StateServer), by its address such as `127.0.0.1:4000`.
    pub fn server(address: impl Into<String>) -> Self {
        let address = address.into();
        let bare = address.strip_prefix("http://").map_or(&*address, |rest| rest.trim_end_matches('/'));
        Self::at(Place::Server(bare.to_string()))
    }

    /// In a Redis, by its URL such as `redis://:password@127.0.0.1:6379/0`. There sessions have names that begin with
    /// `onramp:session:`, and are forgotten a day after their last change.
    pub fn redis(url: impl Into<String>) -> Self {
        Self::at(Place::Redis(url.into()))
    }

    fn at(place: Place) -> Self {
        Self { place, round_trip_seconds: 0.0, timeout_seconds: 1.0, token: None }
    }

    /// Each get and each set waits so many seconds before it begins: an *emulated* network between replica and store
    /// (0 to 10; none unless it is set).
    pub fn round_trip(mut self, seconds: f64) -> Self {
        self.round_trip_seconds = seconds;
        self
    }

    /// A get or set that takes longer fails, its emulated round trip aside (above 0, at most 60 seconds; 1 unless it is set).
    pub fn timeout(mut self, seconds: f64) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// What the [`StateServer`](super::StateServer) was told to ask for.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if !(0.0..=LONGEST_ROUND_TRIP_SECONDS).contains(&self.round_trip_seconds) {
            return Err(Error::invalid(format!(
                "a round trip to the sessions can't take {} s; use 0 to {LONGEST_ROUND_TRIP_SECONDS}, such as 0.001",
                self.round_trip_seconds
            )));
        }
        if !(self.timeout_seconds > 0.0 && self.timeout_seconds <= LONGEST_TIMEOUT_SECONDS) {
            return Err(Error::invalid(format!(
                "the sessions can't be given up after {} s; use a number above 0 and at most {LONGEST_TIMEOUT_SECONDS}",
                self.timeout_seconds
            )));
        }
        match &self.place {
            Place::Redis(url) => redis_store::client(url).map(drop),
            Place::Server(address) => RemoteStore::new(address, None).map(drop),
            Place::Memory | Place::File(_) => Ok(()),
        }
    }

    /// What answers. A store elsewhere need not be there yet.
    ///
    /// # Errors
    /// As for [`State::validate`]; [`Error::Data`] and [`Error::Io`] when the file can't be used.
    pub(crate) async fn open(&self) -> Result<SessionStore> {
        self.validate()?;
        let timeout = Duration::from_secs_f64(self.timeout_seconds);
        let store = match &self.place {
            Place::Memory => Store::Memory(MemoryStore::default()),
            Place::File(path) => Store::File(FileStore::open(path)?),
            Place::Server(address) => Store::Remote(RemoteStore::new(address, self.token.as_deref())?),
            Place::Redis(url) => Store::Redis(RedisStore::open(url, timeout)?),
        };
        let round_trip = Duration::from_secs_f64(self.round_trip_seconds);
        Ok(SessionStore::new(store, self.place.to_string(), round_trip, timeout))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        match self.round_trip_seconds {
            0.0 => Ok(()),
            seconds => write!(f, " (emulated round trip of {seconds} s)"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("the replica's own memory"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Server(address) => write!(f, "the store at {address}"),
            Self::Redis(url) => write!(f, "the Redis at {}", redis_store::without_password(url)),
        }
    }
}

/// Without the password.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
