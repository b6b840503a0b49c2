//! Getting and setting what is remembered of a session, wherever it is kept.

use std::future::Future;
use std::time::Duration;

use super::file_store::FileStore;
use super::key::{check_key, check_value};
use super::memory_store::MemoryStore;
use super::redis_store::RedisStore;
use super::remote_store::{RemoteStore, tag};
use crate::error::{Error, Result};
use crate::serving::wait::wait_precisely;

/// Of so many requests for one session that come at once, each gets through once.
const MOST_ATTEMPTS: usize = 1_000;

/// An open [`State`](super::State). Nothing that fails here is the end of it: the next call tries anew.
pub(crate) struct SessionStore {
    store: Store,
    /// For messages.
    name: String,
    round_trip: Duration,
    timeout: Duration,
}

pub(super) enum Store {
    Memory(MemoryStore),
    File(FileStore),
    Remote(Box<RemoteStore>),
    Redis(RedisStore),
}

/// What must be there for a value to be put in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expected {
    Anything,
    Nothing,
    Value(Vec<u8>),
    /// A value with this [`tag`].
    Tagged(String),
}

impl Expected {
    pub(super) fn is_met_by(&self, there: Option<&[u8]>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => there.is_none(),
            Self::Value(value) => there == Some(value),
            Self::Tagged(wanted) => there.is_some_and(|value| tag(value) == *wanted),
        }
    }
}

impl SessionStore {
    pub(super) fn new(store: Store, name: String, round_trip: Duration, timeout: Duration) -> Self {
        Self { store, name, round_trip, timeout }
    }

    /// What is kept for a session.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a name that can't be one; [`Error::Service`] when the store can't be reached, within the
    /// timeout.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        check_key(key)?;
        self.in_time(async {
            match &self.store {
                Store::Memory(store) => Ok(store.get(key)),
                Store::File(store) => store.get(key).await,
                Store::Remote(store) => store.get(key, self.timeout).await,
                Store::Redis(store) => store.get(key).await,
            }
        })
        .await
    }

    /// Adds to a session's counter, which begins at 0, and returns the sum: a get and a set.
    ///
    /// The set is done only where nobody changed the counter since the get, or both are done again: so no count is lost
    /// however many replicas add at once.
    ///
    /// # Errors
    /// As for [`SessionStore::get`]; also [`Error::InvalidInput`] when what is kept for the session is no counter.
    pub(crate) async fn add(&self, key: &str, number: u64) -> Result<u64> {
        for _ in 0..MOST_ATTEMPTS {
            let before = self.get(key).await?;
            let count = match &before {
                None => Some(0),
                Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok()),
            };
            let sum = count.and_then(|count| count.checked_add(number)).ok_or_else(|| {
                let there = String::from_utf8_lossy(before.as_deref().unwrap_or_default()).into_owned();
                let there: String = there.chars().take(32).collect();
                Error::invalid(format!(
                    "what is kept for the session '{key}' is no number that {number} could be added to: {there:?}"
                ))
            })?;
            let expected = before.map_or(Expected::Nothing, Expected::Value);
            if self.put(key, expected, sum.to_string().as_bytes()).await? {
                return Ok(sum);
            }
        }
        Err(Error::Service(format!("{} changed the session '{key}' {MOST_ATTEMPTS} times meanwhile", self.name)))
    }

    /// Whether sessions can be had now.
    ///
    /// # Errors
    /// [`Error::Service`] with the reason when not.
    pub(crate) async fn ping(&self) -> Result<()> {
        self.in_time(async {
            match &self.store {
                Store::Memory(_) => Ok(()),
                Store::File(store) => store.get("ping").await.map(drop),
                Store::Remote(store) => store.ping(self.timeout).await,
                Store::Redis(store) => store.ping().await,
            }
        })
        .await
    }

    /// Keeps this for a session where what is expected is there; whether it was done.
    ///
    /// # Errors
    /// As for [`SessionStore::get`]; also [`Error::InvalidInput`] for more than 64 KiB.
    pub(super) async fn put(&self, key: &str, expected: Expected, value: &[u8]) -> Result<bool> {
        check_key(key)?;
        check_value(value)?;
        self.in_time(async {
            match &self.store {
                Store::Memory(store) => store.put(key, &expected, value),
                Store::File(store) => store.put(key, expected, value).await,
                Store::Remote(store) => store.put(key, &expected, value, self.timeout).await,
                Store::Redis(store) => store.put(key, &expected, value).await,
            }
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        wait_precisely(self.round_trip).await;
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::Service(format!("{} did not answer within {} s", self.name, self.timeout.as_secs_f64())))
            }
        }
    }
}
