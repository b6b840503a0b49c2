//! Hit rates: the approximation against a true LRU cache, and that against one written the slow way.

use onramp::law::{CacheHits, Lru};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::close;

#[test]
fn the_approximation_is_within_two_points_of_a_true_cache() {
    for exponent in [0.8, 1.0] {
        for entries in [10, 100, 1_000, 5_000] {
            let cache = CacheHits::zipf(10_000, exponent, entries).unwrap();
            let (law, replayed) = (cache.hit_rate(), cache.replay(400_000, 1).unwrap());
            assert!((law - replayed.median).abs() < 0.005, "{exponent}, {entries}: {law}, replayed {replayed}");
        }
    }
}

#[test]
fn keys_that_are_all_alike_are_hit_as_often_as_there_is_room() {
    for entries in [10, 1_000, 5_000] {
        let cache = CacheHits::zipf(10_000, 0.0, entries).unwrap();
        assert!(close(cache.hit_rate(), entries as f64 / 10_000.0, 1e-6));
        assert!((cache.replay(200_000, 0).unwrap().median - entries as f64 / 10_000.0).abs() < 0.01);
    }
}

#[test]
fn a_cache_with_room_for_all_misses_nothing() {
    let cache = CacheHits::zipf(100, 1.0, 100).unwrap();
    assert_eq!((cache.hit_rate().round(), cache.characteristic_requests()), (1.0, f64::INFINITY));
    assert_eq!(cache.replay(10_000, 0).unwrap().median, 1.0);
}

#[test]
fn the_cache_forgets_as_one_written_the_slow_way() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for entries in [1, 2, 3, 17] {
        let mut cache = Lru::new(entries).unwrap();
        let mut slow: Vec<usize> = Vec::new();
        for _ in 0..5_000 {
            let key = random.random_range(0..30_usize).min(random.random_range(0..30));
            let place = slow.iter().position(|known| *known == key);
            assert_eq!(cache.get(key), place.is_some());
            place.map(|place| slow.remove(place));
            slow.insert(0, key);
            slow.truncate(entries);
        }
    }
}

#[test]
fn caches_that_make_no_sense_are_refused() {
    assert!(CacheHits::zipf(0, 1.0, 1).unwrap_err().to_string().contains("before 0 keys"));
    assert!(CacheHits::zipf(10, 1.0, 0).unwrap_err().to_string().contains("0 entries"));
    assert!(CacheHits::zipf(10, f64::NAN, 1).unwrap_err().to_string().contains("exponent NaN"));
    assert!(CacheHits::new([1.0, -2.0], 1).unwrap_err().to_string().contains("-2 times"));
    assert!(CacheHits::zipf(10, 1.0, 1).unwrap().replay(5, 0).unwrap_err().to_string().contains("5 requests"));
    assert!(Lru::new(0).is_err());
}
