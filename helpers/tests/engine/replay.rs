//! The replay against the closed formulas, and its behaviour with unequal workers.

use super::complaint;
use onramp::prelude::*;

#[test]
fn equal_workers_take_the_time_of_the_formula() {
    for link in [Link::lan(), Link::wan(), Link::data_center()] {
        for workers in [2, 4, 8, 16] {
            // Divisible by every number of workers, so that all chunks are equal.
            let elements = 16 * 17_000;
            for algorithm in Algorithm::ALL {
                let replay = Replay::new(&link, algorithm, workers, &[elements]);
                let formula = algorithm.seconds(&link, workers, 4.0 * elements as f64);
                let played = replay.communication_seconds();
                assert!((played / formula - 1.0).abs() < 1e-9, "{link}, {algorithm}, {workers}: {played}, {formula}");
            }
        }
    }
}

#[test]
fn steps_add_computing_and_communication() {
    let link = Link::lan();
    let replay = Replay::new(&link, Algorithm::Ring, 4, &[400_000]);
    let communication = Algorithm::Ring.seconds(&link, 4, 1.6e6);
    for step in replay.step_seconds(&vec![vec![0.01; 4]; 5]) {
        assert!((step / (0.01 + communication) - 1.0).abs() < 1e-9, "{step}");
    }
}

#[test]
fn everyone_waits_for_the_slowest() {
    let replay = Replay::new(&Link::lan(), Algorithm::Tree, 4, &[100]);
    let even = replay.step_seconds(&[vec![0.01; 4]])[0];
    let uneven = replay.step_seconds(&[vec![0.01, 0.01, 0.01, 0.05]])[0];
    assert!(uneven > even + 0.039, "{uneven} after {even}");
}

#[test]
fn a_message_per_variable_costs_a_latency_for_each() {
    let model = Mlp::new(256);
    let link = Link::wan();
    let play =
        |way: Synchronisation| Replay::new(&link, Algorithm::Ring, 8, &way.messages(&model)).communication_seconds();
    let (single, buckets) = (play(Synchronisation::PerVariable), play(Synchronisation::default()));
    // 6 variables instead of 1 bucket: 5 more times 14 rounds of 10 ms. Variables that the workers don't divide
    // evenly move the result by less than a percent.
    let expected = 5.0 * 14.0 * link.latency_seconds();
    assert!(((single - buckets) / expected - 1.0).abs() < 0.01, "{single} and {buckets}");
    assert_eq!(Synchronisation::PerVariable.messages(&model).iter().sum::<usize>(), model.parameters());
    assert_eq!(Synchronisation::Buckets { bytes: 4096 }.messages(&model).iter().sum::<usize>(), model.parameters());
}

#[test]
fn one_worker_has_nobody_to_talk_to() {
    let replay = Replay::new(&Link::wan(), Algorithm::Ring, 1, &[1000]);
    assert_eq!(replay.step_seconds(&[vec![0.25]]), [0.25]);
}

#[test]
fn calls_that_begin_during_the_pass_hide_behind_it() {
    // Two workers, each call a message of 10 ms, computing 40 ms.
    let link = Link::custom("slow", 0.0, 1e6).unwrap();
    let calls = [(Collective::Broadcast { root: 0 }, 2_500); 3];
    let seconds = |shares: &[f64]| {
        let replay = Replay::of(&link, 2, &calls).unwrap().ready_at(shares).unwrap();
        replay.step_seconds(&[vec![0.04, 0.04]])[0]
    };
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    near(seconds(&[1.0, 1.0, 1.0]), 0.07);
    // At 10, 20 and 30 ms, each over before the next; the last quarter of the computing comes after them.
    near(seconds(&[0.25, 0.5, 0.75]), 0.05);
    // All at 30 ms: two of them are in the way.
    near(seconds(&[0.75, 0.75, 0.75]), 0.07);
    near(seconds(&[0.0, 0.0, 0.0]), 0.07);
    for wrong in [&[0.5][..], &[0.5, 0.4, 1.0], &[0.5, 0.6, 1.1], &[0.5, 0.6, f64::NAN]] {
        let text = complaint(Replay::of(&link, 2, &calls).unwrap().ready_at(wrong));
        assert!(text.contains("3 calls can't be ready at"), "{text}");
    }
}
