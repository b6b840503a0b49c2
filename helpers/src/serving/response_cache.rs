//! The answers that a server keeps in front of its model.
//!
//! Requests for the same rows that come while their answer is computed wait for that one computation. It belongs to all of
//! them: it goes on as long as one of them waits, whoever began it, and ends when the last has gone. (moka's own
//! `try_get_with` ties it to the first, and begins anew when that one goes.) A failure is told to all that waited for it,
//! and kept for nobody.
//!
//! moka notes an access and does what follows from it later, some dozens at a time. Here it is done after each access, for half a
//! microsecond: a cache of 20 then keeps 20 and not up to twice as many, and with LRU each single hit and miss is that of an exact
//! one. (Left to itself, 15 % of them differed with 20 entries, and 0.1 % with 1,000.)

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::cache::Cache;
use crate::error::{Error, Result};

/// What an answer is found by: the digest of all that was asked.
///
/// A digest of SHA-256 stands for its rows: no two requests are known that share one, not even when someone looks for them in
/// order to be given another's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Rows of so many columns; `form` tells answers apart that are kept in several forms, such as JSON and tensors.
    pub(crate) fn of(form: &str, columns: usize, values: &[f32]) -> Self {
        let mut digest = Sha256::new();
        digest.update((form.len() as u64).to_le_bytes());
        digest.update(form);
        digest.update((columns as u64).to_le_bytes());
        // SAFETY: any bytes of numbers are valid bytes.
        let (_, bytes, _) = unsafe { values.align_to::<u8>() };
        digest.update(bytes);
        Self(digest.finalize().into())
    }
}

/// An answer, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served<V> {
    pub(crate) answer: V,
    pub(crate) source: Source,
    /// Since it was computed.
    pub(crate) age: Duration,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// It was kept.
    Hit,
    /// It was computed for this request.
    Miss,
    /// It was computed for another request that came shortly before.
    Coalesced,
}

/// How often answers came from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) coalesced: u64,
}

/// Answers of type `V`; computing one may fail with `E`.
pub(crate) struct ResponseCache<V, E> {
    kept: moka::future::Cache<Place, Kept<V>>,
    computed: Arc<Computations<V, E>>,
    generation: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    coalesced: AtomicU64,
}

/// Answers of former parameters have the number of another generation, so none of them is found that was still being
/// computed when the parameters changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    generation: u64,
    key: Key,
}

#[derive(Debug, Clone)]
struct Kept<V> {
    answer: V,
    since: Instant,
}

type Outcome<V, E> = std::result::Result<Kept<V>, E>;
type Computations<V, E> = Mutex<HashMap<Place, Weak<Computation<V, E>>>>;

/// An answer that is being computed. Each request that waits for it holds one of its references.
struct Computation<V, E> {
    place: Place,
    outcome: watch::Receiver<Option<Outcome<V, E>>>,
    task: AbortHandle,
    all: Weak<Computations<V, E>>,
}

impl<V, E> Drop for Computation<V, E> {
    fn drop(&mut self) {
        self.task.abort();
        let Some(all) = self.all.upgrade() else { return };
        let mut all = lock(&all);
        // Another one may have begun meanwhile.
        if all.get(&self.place).is_some_and(|found| found.strong_count() == 0) {
            all.remove(&self.place);
        }
    }
}

impl<V, E> ResponseCache<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + From<Error> + 'static,
{
    /// # Errors
    /// [`Error::InvalidInput`] for a description that makes no sense.
    pub(crate) fn new(cache: &Cache) -> Result<Self> {
        Ok(Self {
            kept: cache.store()?,
            computed: Arc::default(),
            generation: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
        })
    }

    /// The answer that is kept for this key, or that is being computed for it, or the result of `compute`.
    ///
    /// `compute` works for all that wait, so it should not fail because one of them is in a hurry: a request that can wait
    /// no longer drops this future, and `compute` is dropped with the last of them.
    ///
    /// # Errors
    /// What `compute` failed with; an [`Error::Worker`] when it panicked.
    pub(crate) async fn get_or_compute<F>(&self, key: Key, compute: F) -> Result<Served<V>, E>
    where
        F: Future<Output = std::result::Result<V, E>> + Send + 'static,
    {
        let place = Place { generation: self.generation.load(Ordering::Acquire), key };
        let found = self.kept.get(&place).await;
        self.kept.run_pending_tasks().await;
        if let Some(kept) = found {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Served { age: kept.since.elapsed(), answer: kept.answer, source: Source::Hit });
        }
        let (computation, source) = self.computation(place, compute);
        let count = if source == Source::Miss { &self.misses } else { &self.coalesced };
        count.fetch_add(1, Ordering::Relaxed);
        let mut outcome = computation.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome.ok().flatten() {
            Some(Ok(kept)) => Ok(Served { age: kept.since.elapsed(), answer: kept.answer, source }),
            Some(Err(failure)) => Err(failure),
            None => Err(Error::Worker("the computation of an answer broke off".to_string()).into()),
        }
    }

    /// Forgets all answers, also those that are being computed: to be called when the model's parameters have changed.
    pub(crate) fn invalidate_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.kept.invalidate_all();
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { hits: read(&self.hits), misses: read(&self.misses), coalesced: read(&self.coalesced) }
    }

    /// The computation that runs for this place, or one that starts now.
    fn computation<F>(&self, place: Place, compute: F) -> (Arc<Computation<V, E>>, Source)
    where
        F: Future<Output = std::result::Result<V, E>> + Send + 'static,
    {
        let mut computed = lock(&self.computed);
        if let Some(running) = computed.get(&place).and_then(Weak::upgrade) {
            return (running, Source::Coalesced);
        }
        let (sender, outcome) = watch::channel(None);
        let all = Arc::downgrade(&self.computed);
        let kept = self.kept.clone();
        let computation = Arc::new_cyclic(|own: &Weak<Computation<V, E>>| {
            let (own, everyone) = (own.clone(), all.clone());
            let task = tokio::spawn(async move {
                // One that ended since the caller looked has left its answer there.
                let there = if kept.contains_key(&place) { kept.get(&place).await } else { None };
                let result = match there {
                    Some(found) => Ok(found),
                    None => match compute.await {
                        Ok(answer) => {
                            let new = Kept { answer, since: Instant::now() };
                            kept.insert(place, new.clone()).await;
                            kept.run_pending_tasks().await;
                            Ok(new)
                        }
                        Err(failure) => Err(failure),
                    },
                };
                // In this order: who finds no computation finds its answer.
                if let Some(all) = everyone.upgrade() {
                    let mut all = lock(&all);
                    if all.get(&place).is_some_and(|found| found.ptr_eq(&own)) {
                        all.remove(&place);
                    }
                }
                sender.send_replace(Some(result));
            });
            Computation { place, outcome, task: task.abort_handle(), all }
        });
        computed.insert(place, Arc::downgrade(&computation));
        (computation, Source::Miss)
    }
}

fn lock<V, E>(computed: &Computations<V, E>) -> MutexGuard<'_, HashMap<Place, Weak<Computation<V, E>>>> {
    // Nothing is done below this lock that can fail half-way.
    computed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on should say so and stop")]
mod tests;
