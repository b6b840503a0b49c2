//! What is computed, how often, and what is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;

use rand::distr::Distribution;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;
use tokio::sync::Notify;

use super::*;
use crate::law::CacheHits;
use crate::serving::cache::Eviction;

#[derive(Debug, Clone, PartialEq)]
struct Failure(String);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

type Answers = ResponseCache<u64, Failure>;

fn answers(cache: Cache) -> Arc<Answers> {
    Arc::new(ResponseCache::new(&cache).unwrap())
}

fn key(number: u64) -> Key {
    Key::of("test", 1, &[number as f32])
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// A computation that counts itself, waits until it is let go, and counts its end.
#[derive(Default)]
struct Slow {
    begun: AtomicUsize,
    ended: AtomicUsize,
    go: Notify,
}

impl Slow {
    fn compute(self: &Arc<Self>, result: Result<u64, Failure>) -> impl Future<Output = Result<u64, Failure>> + use<> {
        let own = self.clone();
        async move {
            own.begun.fetch_add(1, Ordering::SeqCst);
            own.go.notified().await;
            own.ended.fetch_add(1, Ordering::SeqCst);
            result
        }
    }

    fn numbers(&self) -> (usize, usize) {
        (self.begun.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

/// A hundred requests for one key, all of which wait for its answer.
async fn hundred(
    cache: &Arc<Answers>,
    slow: &Arc<Slow>,
    result: Result<u64, Failure>,
) -> Vec<tokio::task::JoinHandle<Result<Served<u64>, Failure>>> {
    let mut requests = Vec::new();
    let before = cache.counts().misses;
    for waiting in before + 1..=before + 100 {
        let (cache, compute) = (cache.clone(), slow.compute(result.clone()));
        let counted = cache.clone();
        requests.push(tokio::spawn(async move { cache.get_or_compute(key(7), compute).await }));
        let all = || counted.counts().misses + counted.counts().coalesced;
        until(|| all() == waiting).await;
    }
    until(|| slow.numbers().0 == 1).await;
    requests
}

async fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "it did not happen");
        tokio::task::yield_now().await;
    }
}

#[test]
fn requests_that_come_at_once_share_one_computation() {
    run(async {
        let (cache, slow) = (answers(Cache::new(10)), Arc::new(Slow::default()));
        let requests = hundred(&cache, &slow, Ok(42)).await;
        slow.go.notify_one();
        for (number, request) in requests.into_iter().enumerate() {
            let served = request.await.unwrap().unwrap();
            let source = if number == 0 { Source::Miss } else { Source::Coalesced };
            assert_eq!((served.answer, served.source), (42, source));
        }
        let again = cache.get_or_compute(key(7), async { unreachable!("it is kept") }).await.unwrap();
        assert_eq!((again.answer, again.source), (42, Source::Hit));
        assert_eq!(slow.numbers(), (1, 1));
        assert_eq!(cache.counts(), Counts { hits: 1, misses: 1, coalesced: 99 });
        assert!(lock(&cache.computed).is_empty());
    });
}

#[test]
fn a_computation_goes_on_without_the_request_that_began_it() {
    run(async {
        let (cache, slow) = (answers(Cache::new(10)), Arc::new(Slow::default()));
        let mut requests = hundred(&cache, &slow, Ok(42)).await;
        let rest = requests.split_off(50);
        for gone in requests {
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        slow.go.notify_one();
        for request in rest {
            assert_eq!(request.await.unwrap().unwrap().answer, 42);
        }
        assert_eq!(slow.numbers(), (1, 1));
    });
}

#[test]
fn a_computation_that_nobody_waits_for_is_given_up_and_done_anew_for_the_next() {
    run(async {
        let (cache, slow) = (answers(Cache::new(10)), Arc::new(Slow::default()));
        for gone in hundred(&cache, &slow, Ok(42)).await {
            gone.abort();
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        until(|| lock(&cache.computed).is_empty()).await;
        slow.go.notify_one();
        let next = cache.get_or_compute(key(7), async { Ok(43) }).await.unwrap();
        assert_eq!((next.answer, next.source), (43, Source::Miss));
        assert_eq!(slow.numbers(), (1, 0));
    });
}

#[test]
fn a_failure_is_told_to_all_and_kept_for_nobody() {
    run(async {
        let (cache, slow) = (answers(Cache::new(10)), Arc::new(Slow::default()));
        let failure = Failure("the model failed".to_string());
        let requests = hundred(&cache, &slow, Err(failure.clone())).await;
        slow.go.notify_one();
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap_err(), failure);
        }
        assert_eq!(cache.get_or_compute(key(7), async { Ok(1) }).await.unwrap().source, Source::Miss);
        assert_eq!(slow.numbers(), (1, 1));
    });
}

#[test]
fn a_computation_that_panics_fails_for_those_who_wait_and_for_nobody_else() {
    run(async {
        let cache = answers(Cache::new(10));
        let broken = cache.get_or_compute(key(7), async { panic!("as the test wants it") }).await.unwrap_err();
        assert!(broken.0.contains("broke off"), "{broken:?}");
        assert_eq!(cache.get_or_compute(key(7), async { Ok(1) }).await.unwrap().answer, 1);
        assert!(lock(&cache.computed).is_empty());
    });
}

#[test]
fn an_answer_grows_old_and_is_forgotten_in_time() {
    run(async {
        let cache = answers(Cache::new(10).seconds_to_live(0.3));
        let first = cache.get_or_compute(key(7), async { Ok(1) }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        let start = Instant::now();
        let kept = cache.get_or_compute(key(7), async { Ok(2) }).await.unwrap();
        // On a machine that is much too busy it may be gone already.
        if start.elapsed() < Duration::from_millis(100) && kept.source == Source::Hit {
            assert_eq!(kept.answer, 1);
            assert!(kept.age >= first.age + Duration::from_millis(30), "{:?}", kept.age);
        }
        tokio::time::sleep(Duration::from_millis(310)).await;
        let new = cache.get_or_compute(key(7), async { Ok(3) }).await.unwrap();
        assert_eq!((new.answer, new.source), (3, Source::Miss));
        assert!(new.age < kept.age.max(Duration::from_secs(1)));
    });
}

#[test]
fn nothing_of_former_parameters_is_found_not_even_what_was_being_computed() {
    run(async {
        let (cache, slow) = (answers(Cache::new(10)), Arc::new(Slow::default()));
        cache.get_or_compute(key(1), async { Ok(10) }).await.unwrap();
        let requests = hundred(&cache, &slow, Ok(42)).await;
        cache.invalidate_all();
        slow.go.notify_one();
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().answer, 42);
        }
        for (number, new) in [(1, 11), (7, 43)] {
            let served = cache.get_or_compute(key(number), async move { Ok(new) }).await.unwrap();
            assert_eq!((served.answer, served.source), (new, Source::Miss));
        }
    });
}

/// The naive one: a queue of keys, the most recently used last.
struct ExactLru {
    capacity: usize,
    order: VecDeque<u64>,
}

impl ExactLru {
    fn hits(&mut self, number: u64) -> bool {
        let place = self.order.iter().position(|other| *other == number);
        place.map(|place| self.order.remove(place));
        self.order.push_back(number);
        if self.order.len() > self.capacity {
            self.order.pop_front();
        }
        place.is_some()
    }
}

#[test]
fn the_least_recently_used_leaves_at_each_single_access() {
    run(async {
        let cache = answers(Cache::new(20).eviction(Eviction::Lru));
        let mut exact = ExactLru { capacity: 20, order: VecDeque::new() };
        let (zipf, mut rng) = (Zipf::new(200.0, 1.0).unwrap(), ChaCha8Rng::seed_from_u64(1));
        for access in 0..20_000 {
            let number = zipf.sample(&mut rng) as u64;
            let served = cache.get_or_compute(key(number), async move { Ok(number) }).await.unwrap();
            assert_eq!(served.source == Source::Hit, exact.hits(number), "access {access} of {number}");
        }
        assert_eq!(cache.kept.entry_count(), 20);
    });
}

#[test]
fn hit_rates_are_those_of_ches_approximation_and_a_picky_cache_beats_them_on_skewed_keys() {
    const KEYS: usize = 2_000;
    const ENTRIES: usize = 200;
    let rate = |eviction: Eviction, skewed: bool| {
        run(async move {
            let cache = answers(Cache::new(ENTRIES).eviction(eviction));
            let (zipf, mut rng) = (Zipf::new(KEYS as f64, 1.0).unwrap(), ChaCha8Rng::seed_from_u64(2));
            let mut before = Counts::default();
            for access in 0..40_000 {
                if access == 10_000 {
                    before = cache.counts();
                }
                let number = if skewed { zipf.sample(&mut rng) as u64 } else { rng.random_range(0..KEYS as u64) };
                cache.get_or_compute(key(number), async move { Ok(number) }).await.unwrap();
            }
            (cache.counts().hits - before.hits) as f64 / 30_000.0
        })
    };
    let (lru, picky, uniform) = (rate(Eviction::Lru, true), rate(Eviction::TinyLfu, true), rate(Eviction::Lru, false));
    let theory = CacheHits::zipf(KEYS, 1.0, ENTRIES).unwrap().hit_rate();
    assert!((lru - theory).abs() < 0.02, "LRU {lru}, by Che {theory}");
    assert!((uniform - 0.1).abs() < 0.02, "LRU, uniform keys {uniform}");
    assert!(picky > lru + 0.02, "TinyLFU {picky}, LRU {lru}");
}

#[test]
fn keys_differ_when_anything_does() {
    let values = [1.0, 2.0, 3.0, 4.0];
    let keys = [
        Key::of("json", 2, &values),
        Key::of("tensor", 2, &values),
        Key::of("json", 4, &values),
        Key::of("json", 2, &values[..2]),
        Key::of("json", 2, &[1.0, 2.0, 3.0, 4.5]),
    ];
    let different: HashMap<_, _> = keys.iter().map(|key| (key.0, ())).collect();
    assert_eq!(different.len(), keys.len());
    assert_eq!(keys[0], Key::of("json", 2, &values.map(|value| value)));
}

#[test]
fn a_cache_of_nothing_or_for_no_time_is_refused() {
    for cache in [
        Cache::new(0),
        Cache::new(1_000_001),
        Cache::new(1).seconds_to_live(0.0),
        Cache::new(1).seconds_to_live(f64::NAN),
        Cache::new(1).seconds_to_live(1e9),
    ] {
        assert!(matches!(cache.validate(), Err(Error::InvalidInput(_))), "{cache}");
    }
    assert!(Cache::new(1).seconds_to_live(86_400.0).validate().is_ok());
}
