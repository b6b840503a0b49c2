//! The rule against sequences worked out by hand.

use onramp::prelude::*;
use onramp::serving::{HpaDecision, HpaReason, HpaState};

use super::complaint;

/// The same metric each second after `from` up to `until`; what the last one led to.
fn hold(state: &mut HpaState, from: u32, until: u32, metric: f64, ready: usize) -> HpaDecision {
    let decisions = (from + 1..=until).map(|second| state.observe(f64::from(second), metric, ready).unwrap());
    decisions.last().unwrap()
}

fn outcome(decision: HpaDecision) -> (usize, usize, HpaReason) {
    (decision.recommendation, decision.replicas, decision.reason)
}

#[test]
fn nothing_is_decided_before_the_period_is_over() {
    let mut state = HpaRule::new(10.0).start(2).unwrap();
    assert_eq!(outcome(hold(&mut state, 0, 14, 25.0, 2)), (2, 2, HpaReason::NotDue));
    // ceil(2 x 25 / 10) = 5, and 2 + 4 = 6 are allowed.
    let decision = state.observe(15.0, 25.0, 2).unwrap();
    assert_eq!(outcome(decision), (5, 5, HpaReason::Recommended));
    assert_eq!((decision.metric, decision.before), (Some(25.0), 2));
    assert!(decision.is_change());
}

#[test]
fn the_metric_is_the_mean_of_the_window() {
    let mut state = HpaRule::new(10.0).start(1).unwrap();
    hold(&mut state, 0, 5, 100.0, 1);
    // 10 seconds at 10 and 5 at 100 are 40 on average.
    let decision = hold(&mut state, 5, 15, 10.0, 1);
    assert_eq!(decision.metric, Some(40.0));
    assert_eq!(outcome(decision), (4, 4, HpaReason::Recommended));
    // The 100 have left the window: 12 for each of 4, of which 4 samples were those of one replica with 48.
    hold(&mut state, 15, 19, 48.0, 1);
    let decision = hold(&mut state, 19, 30, 12.0, 4);
    assert_eq!(decision.metric, Some(12.0), "samples count with the replicas that were ready when they were taken");
}

#[test]
fn at_most_four_more_or_twice_as_many_in_15_seconds() {
    let mut state = HpaRule::new(10.0).start(2).unwrap();
    // 200 for all together: 20 are wanted.
    assert_eq!(outcome(hold(&mut state, 0, 15, 100.0, 2)), (20, 6, HpaReason::ScaleUpLimit));
    assert_eq!(outcome(hold(&mut state, 15, 30, 200.0 / 6.0, 6)), (20, 12, HpaReason::ScaleUpLimit));
    assert_eq!(outcome(hold(&mut state, 30, 45, 200.0 / 12.0, 12)), (20, 20, HpaReason::Recommended));
    // With a decision each second the limit still holds over any 15 of them.
    let mut state = HpaRule::new(10.0).window(1.0).period(1.0).start(2).unwrap();
    assert_eq!(outcome(state.observe(1.0, 100.0, 2).unwrap()), (20, 6, HpaReason::ScaleUpLimit));
    for second in 2..=15 {
        assert_eq!(state.observe(f64::from(second), 200.0 / 6.0, 6).unwrap().replicas, 6, "{second}");
    }
    assert_eq!(outcome(state.observe(16.0, 200.0 / 6.0, 6).unwrap()), (20, 12, HpaReason::ScaleUpLimit));
}

#[test]
fn ten_percent_off_the_target_change_nothing() {
    for (metric, expected) in [(11.0, 10), (11.1, 12), (9.0, 10), (8.9, 9)] {
        let mut state = HpaRule::new(10.0).stabilisation(0.0).start(10).unwrap();
        assert_eq!(hold(&mut state, 0, 15, metric, 10).replicas, expected, "{metric}");
    }
    let mut strict = HpaRule::new(10.0).tolerance(0.0).start(10).unwrap();
    assert_eq!(hold(&mut strict, 0, 15, 10.1, 10).replicas, 11);
}

#[test]
fn downwards_the_highest_recommendation_of_300_seconds_holds() {
    let mut state = HpaRule::new(10.0).start(10).unwrap();
    for period in 1..=19 {
        let decision = hold(&mut state, 15 * (period - 1), 15 * period, 2.0, 10);
        assert_eq!(outcome(decision), (2, 10, HpaReason::Stabilised), "after {period} periods");
    }
    assert_eq!(outcome(hold(&mut state, 285, 300, 2.0, 10)), (2, 2, HpaReason::Recommended));

    // One busy window in between holds 6 for as long.
    let mut state = HpaRule::new(10.0).start(10).unwrap();
    hold(&mut state, 0, 135, 2.0, 10);
    assert_eq!(hold(&mut state, 135, 150, 6.0, 10).recommendation, 6);
    hold(&mut state, 150, 285, 2.0, 10);
    assert_eq!(outcome(hold(&mut state, 285, 300, 2.0, 10)), (2, 6, HpaReason::Stabilised));
    let carried = 20.0 / 6.0;
    assert_eq!(outcome(hold(&mut state, 300, 435, carried, 6)), (2, 6, HpaReason::Stabilised));
    assert_eq!(outcome(hold(&mut state, 435, 450, carried, 6)), (2, 2, HpaReason::Recommended));
}

#[test]
fn replicas_on_their_way_are_not_ordered_again() {
    let six_wanted = || {
        let mut state = HpaRule::new(10.0).start(2).unwrap();
        assert_eq!(hold(&mut state, 0, 15, 30.0, 2).replicas, 6);
        state
    };
    // 2 of 6 are ready with 30 each: with 4 idle ones that is 10 for each.
    assert_eq!(outcome(hold(&mut six_wanted(), 15, 30, 30.0, 2)), (6, 6, HpaReason::NearTarget));
    // 23 for all together are below the target of 6; that says nothing as long as 2 of them have more than they should.
    assert_eq!(outcome(hold(&mut six_wanted(), 15, 30, 11.5, 2)), (6, 6, HpaReason::NearTarget));
    // 100 for all together are more than 6 can carry.
    assert_eq!(outcome(hold(&mut six_wanted(), 15, 30, 50.0, 2)), (10, 10, HpaReason::Recommended));
}

#[test]
fn nothing_is_decided_on_nothing() {
    let mut state = HpaRule::new(10.0).start(3).unwrap();
    for second in 1..=15 {
        state.observe(f64::from(second), None, 3).unwrap();
    }
    let decision = state.observe(30.0, None, 3).unwrap();
    assert_eq!(outcome(decision), (3, 3, HpaReason::NoMetric));
    let decision = state.observe(45.0, 50.0, 0).unwrap();
    assert_eq!(outcome(decision), (3, 3, HpaReason::NoMetric));
    // What was sampled while some were ready is of no use while none is.
    assert_eq!(outcome(state.observe(61.0, 50.0, 3).unwrap()), (15, 7, HpaReason::ScaleUpLimit));
}

#[test]
fn there_are_never_fewer_or_more_than_the_bounds() {
    let rule = HpaRule::new(10.0).between(2, 5).stabilisation(0.0);
    assert_eq!(outcome(hold(&mut rule.start(3).unwrap(), 0, 15, 100.0, 3)), (30, 5, HpaReason::Bounds));
    assert_eq!(outcome(hold(&mut rule.start(3).unwrap(), 0, 15, 0.0, 3)), (0, 2, HpaReason::Bounds));
}

#[test]
fn a_scaled_rule_decides_the_same_on_a_faster_clock() {
    let rule = HpaRule::new(10.0);
    let (mut slow, mut fast) = (rule.start(2).unwrap(), rule.times_scaled(0.1).start(2).unwrap());
    for second in 1..=600 {
        let metric = if second < 100 { 40.0 } else { 3.0 };
        let ready = slow.replicas();
        let expected = slow.observe(f64::from(second), metric, ready).unwrap();
        let decision = fast.observe(f64::from(second) / 10.0, metric, ready).unwrap();
        assert_eq!(outcome(decision), outcome(expected), "second {second}");
    }
    assert!(slow.replicas() < 40 && slow.replicas() > 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let rule = HpaRule::new(10.0);
    let text = complaint(HpaRule::new(0.0).start(1));
    assert!(text.contains("a target of 0"), "{text}");
    let text = complaint(rule.tolerance(1.0).start(1));
    assert!(text.contains("a tolerance of 1"), "{text}");
    for wrong in [rule.window(0.0), rule.period(f64::NAN), rule.stabilisation(-1.0), rule.scale_up(4, 2.0, 0.0)] {
        let text = complaint(wrong.start(1));
        assert!(text.contains("can't be used"), "{text}");
    }
    let text = complaint(rule.between(3, 2).start(3));
    assert!(text.contains("3 to 2 replicas is no range"), "{text}");
    let text = complaint(rule.scale_up(0, 1.0, 15.0).start(1));
    assert!(text.contains("never adds one"), "{text}");
    let text = complaint(rule.between(2, 5).start(6));
    assert!(text.contains("6 replicas can't be kept between 2 and 5"), "{text}");
    let mut state = rule.start(1).unwrap();
    state.observe(5.0, 1.0, 1).unwrap();
    let text = complaint(state.observe(4.0, 1.0, 1));
    assert!(text.contains("4 s can't follow one at 5 s"), "{text}");
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        let text = complaint(state.observe(6.0, wrong, 1));
        assert!(text.contains("a metric of"), "{text}");
    }
}
