//! What share of requests an LRU cache answers.
//!
//! ```text
//! sum_i (1 - exp(-p_i t)) = C                 t: the characteristic time, in requests
//! hit rate = sum_i p_i (1 - exp(-p_i t))
//! ```
//!
//! Key i is asked for with probability `p_i`, and the cache keeps the `C` keys that were asked for last. A key is still there
//! when it was asked for within the last `t` requests, `t` being how long it takes until `C` different keys have come. With
//! Zipf's law, `p_i` in proportion to `1 / i^s`, a small cache catches much; with all keys alike it catches `C / N`.
//!
//! (Che, Tung and Wang 2002, "Hierarchical Web caching systems: modeling, design and experimental results"; why it is so
//! exact: Fricker, Robert and Roberts 2012, "A versatile and accurate approximation for LRU cache performance".)
//!
//! ```
//! use onramp::law::CacheHits;
//!
//! let zipf = CacheHits::zipf(10_000, 1.0, 1_000)?;
//! assert!((zipf.hit_rate() - zipf.replay(100_000, 0)?.median).abs() < 0.02);
//! let uniform = CacheHits::zipf(10_000, 0.0, 1_000)?;
//! assert!((uniform.hit_rate() - 0.1).abs() < 1e-3);
//! # Ok::<(), onramp::Error>(())
//! ```

use rand::SeedableRng;
use rand::distr::Distribution;
use rand_chacha::ChaCha8Rng;
use rand_distr::weighted::WeightedAliasIndex;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::measure::Estimate;

/// Characteristic times that a replay runs before it counts.
const WARM_UP: f64 = 5.0;
/// Parts of a replay, whose hit rates are the samples of its estimate.
const PARTS: usize = 20;

/// A cache of so many entries before keys of which each is wanted with its own probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheHits {
    /// Probabilities; their sum is 1.
    wanted: Vec<f64>,
    entries: usize,
}

impl CacheHits {
    /// `keys` keys by Zipf's law with this exponent (0: all alike) and a cache for `entries` of them.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without keys or entries, and for an exponent that is negative or not finite.
    pub fn zipf(keys: usize, exponent: f64, entries: usize) -> Result<Self> {
        if !(exponent.is_finite() && exponent >= 0.0) {
            return Err(Error::invalid(format!(
                "Zipf's law can't have the exponent {exponent}; use 0 (all keys alike) or more, such as 1.0"
            )));
        }
        Self::new((1..=keys).map(|rank| (rank as f64).powf(-exponent)), entries)
    }

    /// Keys that are wanted in these proportions, for example the counts of a log.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no key or no entry, or a proportion is not finite and above 0.
    pub fn new(proportions: impl IntoIterator<Item = f64>, entries: usize) -> Result<Self> {
        let mut wanted: Vec<f64> = proportions.into_iter().collect();
        if let Some(bad) = wanted.iter().find(|share| !(share.is_finite() && **share > 0.0)) {
            return Err(Error::invalid(format!(
                "a key can't be wanted {bad} times; leave it out, or use a number above 0"
            )));
        }
        if wanted.is_empty() || entries == 0 {
            return Err(Error::invalid(format!(
                "a cache of {entries} entries before {} keys has no hit rate; use at least one of each",
                wanted.len()
            )));
        }
        let sum: f64 = wanted.iter().sum();
        wanted.iter_mut().for_each(|share| *share /= sum);
        Ok(Self { wanted, entries })
    }

    /// The characteristic time: requests until as many different keys have come as the cache has entries. Infinite for a
    /// cache in which all keys have room.
    pub fn characteristic_requests(&self) -> f64 {
        if self.entries >= self.wanted.len() {
            return f64::INFINITY;
        }
        let different = |requests: f64| self.wanted.iter().map(|share| -(-share * requests).exp_m1()).sum::<f64>();
        // In t requests there are at most t different keys, so t is at least the number of entries.
        let (mut low, mut high) = (self.entries as f64, 2.0 * self.entries as f64);
        while different(high) < self.entries as f64 {
            (low, high) = (high, 2.0 * high);
        }
        while high / low > 1.0 + 1e-12 {
            let middle = (low * high).sqrt();
            if middle <= low || middle >= high {
                break;
            }
            if different(middle) < self.entries as f64 { low = middle } else { high = middle }
        }
        high
    }

    /// The share of requests that find their key in the cache, by the approximation.
    pub fn hit_rate(&self) -> f64 {
        let requests = self.characteristic_requests();
        self.wanted.iter().map(|share| share * -(-share * requests).exp_m1()).sum()
    }

    /// The same from a true LRU cache and `requests` requests drawn from a seed, after five characteristic times (at most
    /// twenty times as many requests) that do not count. The samples of the estimate are the hit rates of twenty parts of the run.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for fewer than 20 requests; [`Error::Interrupted`].
    pub fn replay(&self, requests: usize, seed: u64) -> Result<Estimate> {
        if requests < PARTS {
            return Err(Error::invalid(format!(
                "{requests} requests give no hit rate; use {PARTS} or more, such as 100000"
            )));
        }
        let keys = WeightedAliasIndex::new(self.wanted.clone())
            .map_err(|cause| Error::invalid(format!("{} keys: {cause}", self.wanted.len())))?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut cache = Lru::new(self.entries)?;
        let longest = (self.wanted.len() as f64).max(20.0 * requests as f64);
        let warm_up = (WARM_UP * self.characteristic_requests()).min(longest) as usize;
        for request in 0..warm_up {
            if request.is_multiple_of(65_536) {
                check_interrupt()?;
            }
            cache.get(keys.sample(&mut random));
        }
        let part = |part: usize| {
            check_interrupt()?;
            let count = requests * (part + 1) / PARTS - requests * part / PARTS;
            let hits = (0..count).filter(|_| cache.get(keys.sample(&mut random))).count();
            Ok(hits as f64 / count as f64)
        };
        Estimate::from_samples((0..PARTS).map(part).collect::<Result<_>>()?)
    }
}

/// A cache that forgets the key that was not asked for longest (least recently used), and counts instead of storing.
///
/// ```
/// use onramp::law::Lru;
///
/// let mut cache = Lru::new(2)?;
/// assert_eq!([1, 2, 1, 3, 2, 3].map(|key| cache.get(key)), [false, false, true, false, false, true]);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lru {
    /// Where each key is in `entries`, by key.
    places: Vec<Option<usize>>,
    /// A ring of keys: from one to that asked for before it, and from the oldest to the newest.
    entries: Vec<Entry>,
    newest: usize,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: usize,
    older: usize,
    newer: usize,
}

impl Lru {
    /// An empty cache with room for so many keys.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a cache without room.
    pub fn new(entries: usize) -> Result<Self> {
        if entries == 0 {
            return Err(Error::invalid("a cache of 0 entries keeps nothing; give it at least 1"));
        }
        Ok(Self { places: Vec::new(), entries: Vec::new(), newest: 0, most: entries })
    }

    /// Asks for a key, from 0 on; memory grows with the largest one. True when it was there; afterwards it is.
    pub fn get(&mut self, key: usize) -> bool {
        if key >= self.places.len() {
            self.places.resize(key + 1, None);
        }
        if let Some(place) = self.places[key] {
            if place != self.newest {
                self.unlink(place);
                self.link(place);
            }
            return true;
        }
        let place = if self.entries.len() < self.most {
            let place = self.entries.len();
            self.entries.push(Entry { key, older: place, newer: place });
            if place > 0 {
                self.link(place);
            }
            place
        } else {
            // The ring's oldest entry is the newer neighbour of its newest; making it the newest only turns the ring.
            let oldest = self.entries[self.newest].newer;
            self.places[self.entries[oldest].key] = None;
            self.entries[oldest].key = key;
            oldest
        };
        self.newest = place;
        self.places[key] = Some(place);
        false
    }

    fn unlink(&mut self, place: usize) {
        let Entry { older, newer, .. } = self.entries[place];
        self.entries[older].newer = newer;
        self.entries[newer].older = older;
    }

    /// Puts an entry between the newest and the oldest, as the newest.
    fn link(&mut self, place: usize) {
        let (newest, oldest) = (self.newest, self.entries[self.newest].newer);
        (self.entries[place].older, self.entries[place].newer) = (newest, oldest);
        self.entries[newest].newer = place;
        self.entries[oldest].older = place;
        self.newest = place;
    }
}
