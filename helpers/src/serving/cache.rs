//! Which answers a server keeps, how many, and for how long.

use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An answer takes some kilobytes, so this many take some gigabytes.
const MOST_ENTRIES: usize = 1_000_000;
/// A day: whoever wants answers for longer can leave the limit away.
const LONGEST_LIFE_SECONDS: f64 = 86_400.0;

/// Answers that a server keeps, to give them again to a request with the same rows.
///
/// An answer that is kept is as old as it is: with [`Cache::seconds_to_live`] none is older than that.
///
/// ```
/// use onramp::serving::{Cache, Eviction};
///
/// let cache = Cache::new(1_000).seconds_to_live(60.0).eviction(Eviction::Lru);
/// assert_eq!(cache.to_string(), "1000 answers, the least recently used leaves, none older than 60 s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    entries: usize,
    seconds_to_live: Option<f64>,
    eviction: Eviction,
}

/// Which answer leaves a full cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eviction {
    /// A newcomer must have been asked for more often than the least recently used one, or it is not let in: TinyLFU
    /// (Einziger, Friedman and Manes 2017), the default of moka, the cache that is used here.
    TinyLfu,
    /// The least recently used one leaves, always.
    Lru,
}

impl Cache {
    /// At most this many answers (1 to 1,000,000), of any age, with [`Eviction::TinyLfu`].
    pub fn new(entries: usize) -> Self {
        Self { entries, seconds_to_live: None, eviction: Eviction::TinyLfu }
    }

    /// An answer is forgotten so many seconds after it was computed (above 0, at most a day).
    pub fn seconds_to_live(mut self, seconds: f64) -> Self {
        self.seconds_to_live = Some(seconds);
        self
    }

    /// Which answer leaves when the cache is full.
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if !(1..=MOST_ENTRIES).contains(&self.entries) {
            return Err(Error::invalid(format!(
                "a cache can't keep {} answers; use 1 to {MOST_ENTRIES}, or leave the cache away",
                self.entries
            )));
        }
        match self.seconds_to_live {
            Some(seconds) if !(seconds > 0.0 && seconds <= LONGEST_LIFE_SECONDS) => Err(Error::invalid(format!(
                "answers can't be kept for {seconds} s; use a number above 0 and at most {LONGEST_LIFE_SECONDS}, or \
                 leave it away, and they are kept until others need their place"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn store<K, V>(&self) -> Result<moka::future::Cache<K, V>>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        self.validate()?;
        let policy = match self.eviction {
            Eviction::TinyLfu => EvictionPolicy::tiny_lfu(),
            Eviction::Lru => EvictionPolicy::lru(),
        };
        let builder = moka::future::Cache::builder().max_capacity(self.entries as u64).eviction_policy(policy);
        Ok(match self.seconds_to_live {
            Some(seconds) => builder.time_to_live(Duration::from_secs_f64(seconds)).build(),
            None => builder.build(),
        })
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaves = match self.eviction {
            Eviction::TinyLfu => "newcomers must be asked for more often (TinyLFU)",
            Eviction::Lru => "the least recently used leaves",
        };
        write!(f, "{} answers, {leaves}", self.entries)?;
        match self.seconds_to_live {
            Some(seconds) => write!(f, ", none older than {seconds} s"),
            None => Ok(()),
        }
    }
}
