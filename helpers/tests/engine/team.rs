//! Workers as threads: sums, broadcasts, barriers, slow workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::complaint;
use onramp::prelude::*;

#[test]
fn every_algorithm_sums_over_any_number_of_workers() {
    for algorithm in Algorithm::ALL {
        for workers in 1..=7 {
            // Fewer numbers than workers, as many, and more with a remainder.
            for length in [0, 1, workers, 3 * workers + 2] {
                let team = Team::new(workers).unwrap().algorithm(algorithm);
                let sums = team
                    .run(|mut worker| {
                        let mut values: Vec<f32> = (0..length).map(|i| (worker.rank() * 100 + i) as f32).collect();
                        worker.all_reduce_sum(&mut values)?;
                        Ok(values)
                    })
                    .unwrap();
                let ranks: usize = (0..workers).sum();
                let expected: Vec<f32> = (0..length).map(|i| (ranks * 100 + workers * i) as f32).collect();
                assert_eq!(sums, vec![expected; workers], "{algorithm}, {workers} workers, {length} numbers");
            }
        }
    }
}

#[test]
fn a_broadcast_gives_everyone_the_roots_numbers() {
    let received = Team::new(4)
        .unwrap()
        .run(|mut worker| {
            let mut values = [worker.rank() as f32, 7.0];
            worker.broadcast(&mut values, 2)?;
            Ok(values)
        })
        .unwrap();
    assert_eq!(received, vec![[2.0, 7.0]; 4]);
}

#[test]
fn nobody_leaves_a_barrier_before_the_last_one_has_come() {
    let arrived = AtomicUsize::new(0);
    let seen = Team::new(4)
        .unwrap()
        .run(|mut worker| {
            std::thread::sleep(Duration::from_millis(10 * worker.rank() as u64));
            arrived.fetch_add(1, Ordering::SeqCst);
            worker.barrier()?;
            Ok(arrived.load(Ordering::SeqCst))
        })
        .unwrap();
    assert_eq!(seen, [4, 4, 4, 4]);
}

#[test]
fn impossible_stragglers_are_refused() {
    let text = complaint(Team::new(2).unwrap().straggler(2, 2.0));
    assert!(text.contains("worker 2 can't be slowed down") && text.contains("from 0 to 1"), "{text}");
    for factor in [0.5, f64::NAN, f64::INFINITY] {
        let text = complaint(Team::new(2).unwrap().straggler(0, factor));
        assert!(text.contains("worker 0 can't take"), "{text}");
    }
    // Any number from 1 up is allowed, however large; without work between the calls there is nothing to stretch.
    Team::new(2).unwrap().straggler(0, 1.0).unwrap().run(|mut worker| worker.barrier()).unwrap();
}
