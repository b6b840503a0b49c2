//! The rule on the virtual clock: queueing theory where the replicas stay, and the order of things where they change.

use onramp::data::{Arrivals, RequestLog};
use onramp::prelude::*;

use super::complaint;

/// Erlang's C: the share of requests that wait for one of c servers at an offered load of a = lambda / mu.
fn erlang_c(servers: u32, offered: f64) -> f64 {
    // The B formula by its recursion, then C from B.
    let blocked =
        (1..=servers).fold(1.0, |blocked, server| offered * blocked / (f64::from(server) + offered * blocked));
    let load = offered / f64::from(servers);
    blocked / (1.0 - load * (1.0 - blocked))
}

#[test]
fn replicas_that_stay_wait_as_long_as_the_theory_says() {
    // 100 requests/s on 7 replicas of 20 each: C(7, 5) / (7 x 20 - 100).
    let rule = HpaRule::new(14.0).between(7, 7);
    let run = ScalingReplay::new(rule).steady_load(100.0).seconds(4_000.0).run().unwrap();
    let case = &run.cases[0];
    let expected = erlang_c(7, 5.0) / (7.0 * 20.0 - 100.0);
    assert!(
        (case.mean_wait_seconds / expected - 1.0).abs() < 0.08,
        "{} s, expected {expected} s",
        case.mean_wait_seconds
    );
    assert!(case.decisions.is_empty());
    assert_eq!(case.replica_seconds, 7.0 * 4_000.0);
}

#[test]
fn the_backlog_area_is_what_all_requests_waited() {
    let run = ScalingReplay::new(HpaRule::new(14.0)).cold_starts([3.0]).run().unwrap();
    let case = &run.cases[0];
    let last = case.moments.last().unwrap();
    let arrived: f64 = case.moments.iter().map(|moment| moment.requests_per_second).sum();
    let area = case.mean_wait_seconds * (arrived - last.waiting as f64);
    // Little's law; those that wait at the end have not been counted yet.
    assert!((area / case.backlog_request_seconds - 1.0).abs() < 1e-3, "{area}, {}", case.backlog_request_seconds);
    assert!((arrived / (60.0 * 20.0 + 540.0 * 100.0) - 1.0).abs() < 0.02, "{arrived}");
}

#[test]
fn the_backlog_area_rises_with_the_cold_start() {
    for seed in 0..5 {
        let replay = ScalingReplay::new(HpaRule::new(14.0)).cold_starts([0.0, 1.0, 3.0]).seed(seed);
        let run = replay.run().unwrap();
        let areas: Vec<f64> = run.cases.iter().map(|case| case.backlog_request_seconds).collect();
        assert!(areas[0] < areas[1] && areas[1] < areas[2], "{areas:?}");
        for case in &run.cases {
            let (first, last) = (case.moments[0], case.moments.last().unwrap());
            assert_eq!(first.wanted, 2);
            assert!((7..=9).contains(&last.wanted), "100 / 14 = 7.1, not {}", last.wanted);
            assert_eq!(case.flaps(), 0, "seed {seed}");
            // The load rises at 60 s, so 75 s is the first decision that sees all of it.
            assert!((60.0..=90.0).contains(&case.decisions[0].seconds), "{:?}", case.decisions[0]);
        }
        assert!(run.table().to_string().contains("replayed"));
        assert!(run.figure().is_ok() && run.backlog_figure().is_ok());
    }
}

#[test]
fn windows_of_1_second_flap_on_a_steady_load_and_those_of_15_do_not() {
    let hasty = HpaRule::new(10.0).window(1.0).period(1.0).stabilisation(0.0);
    for seed in 0..5 {
        let rules = [("15 s", HpaRule::new(10.0)), ("1 s", hasty)];
        let run = ScalingReplay::new(HpaRule::new(10.0)).rules(rules).steady_load(100.0).seed(seed).run().unwrap();
        let flaps: Vec<usize> = run.cases.iter().map(|case| case.flaps()).collect();
        assert_eq!(flaps[0], 0, "seed {seed}");
        // A Poisson count of 100 is off by more than 10 % in 3 of 10 seconds.
        assert!(flaps[1] > 60, "seed {seed}: {flaps:?}");
    }
}

#[test]
fn a_load_that_falls_is_followed_after_300_seconds() {
    let load = [(0.0, 100.0), (100.0, 20.0)];
    let run = ScalingReplay::new(HpaRule::new(14.0)).load(load).run().unwrap();
    let case = &run.cases[0];
    let down = case.decisions.iter().find(|decision| decision.replicas < decision.before).unwrap();
    assert!((385.0..=430.0).contains(&down.seconds), "{down:?}");
    assert!((2..=3).contains(&case.moments.last().unwrap().wanted));
}

#[test]
fn a_log_is_a_load_like_any_other() {
    let log = RequestLog::new(20_000, Arrivals::Poisson { per_second: 100.0 });
    let run = ScalingReplay::new(HpaRule::new(14.0)).log(log).seconds(150.0).constant_service().run().unwrap();
    let arrived: f64 = run.cases[0].moments.iter().map(|moment| moment.requests_per_second).sum();
    assert!((arrived / 15_000.0 - 1.0).abs() < 0.05, "{arrived}");
    // As many as the first second's rate wants are there from the start.
    assert!((6..=10).contains(&run.cases[0].moments[0].ready));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let replay = ScalingReplay::new(HpaRule::new(14.0));
    let text = complaint(replay.clone().cold_starts([]).run());
    assert!(text.contains("1 rules and 0 cold starts"), "{text}");
    let text = complaint(replay.clone().cold_starts([-1.0]).run());
    assert!(text.contains("cold starts of [-1.0]"), "{text}");
    let text = complaint(replay.clone().seconds(0.0).run());
    assert!(text.contains("0 s with replicas of 20 requests/s"), "{text}");
    for load in [vec![], vec![(1.0, 20.0)], vec![(0.0, 20.0), (0.0, 30.0)], vec![(0.0, f64::NAN)]] {
        let text = complaint(replay.clone().load(load).run());
        assert!(text.contains("from second 0 on"), "{text}");
    }
    let text = complaint(replay.clone().steady_load(1e6).run());
    assert!(text.contains("600000000 requests are too many"), "{text}");
    let text = complaint(replay.rules([("none", HpaRule::new(-1.0))]).run());
    assert!(text.contains("a target of -1"), "{text}");
}
