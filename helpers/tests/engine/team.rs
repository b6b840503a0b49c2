//! Workers as threads: sums, broadcasts, barriers, and what happens when one is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
fn a_panicking_worker_ends_the_run_with_its_message() {
    let start = Instant::now();
    let text = complaint(Team::new(3).unwrap().run(|mut worker| {
        if worker.rank() == 1 {
            panic!("no more disk");
        }
        let mut values = [1.0; 8];
        worker.all_reduce_sum(&mut values)
    }));
    assert!(text.contains("worker 1 of 3 panicked") && text.contains("no more disk"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(30), "the others must not wait for their full patience");
}

#[test]
fn the_error_of_one_worker_is_what_the_run_returns() {
    let text = complaint(Team::new(3).unwrap().run(|mut worker| {
        if worker.rank() == 2 {
            return Err(Error::invalid("row 17 is empty"));
        }
        worker.barrier()
    }));
    assert_eq!(text, "row 17 is empty");
}

#[test]
fn a_worker_that_never_sends_ends_the_run_instead_of_hanging_it() {
    let team = Team::new(2).unwrap().patience(Duration::from_millis(200));
    let text = complaint(team.run(|mut worker| {
        if worker.rank() == 0 {
            // Stays alive, but does not take part.
            std::thread::sleep(Duration::from_millis(800));
            return Ok(());
        }
        worker.barrier()
    }));
    assert!(text.contains("worker 1 waited 200ms for worker 0"), "{text}");
}

#[test]
fn workers_that_sum_different_lengths_are_told() {
    let text = complaint(Team::new(2).unwrap().algorithm(Algorithm::Central).run(|mut worker| {
        let mut values = vec![1.0; 4 + worker.rank()];
        worker.all_reduce_sum(&mut values)
    }));
    assert!(text.contains("expected 4 numbers of worker 1 and got 5"), "{text}");
}
