//! The cascade against random offloading, and a burst that overflows into the cloud.

use std::sync::OnceLock;

use onramp::data::Arrivals;
use onramp::prelude::*;
use onramp::serving::{Answered, CascadeRun};

use crate::engine::support::complaint;

fn cascade() -> Cascade {
    Cascade::new(Mlp::new(8), Mlp::new(128), Link::custom("cloud", 0.005, 12.5e6).unwrap())
        .data(Source::teacher(6_000))
        .steps(300)
}

/// One run serves all tests.
fn run() -> &'static CascadeRun {
    static RUN: OnceLock<CascadeRun> = OnceLock::new();
    RUN.get_or_init(|| cascade().run().unwrap())
}

#[test]
fn the_least_confident_rows_are_worth_more_than_random_ones() {
    let run = run();
    let point = run.near_share(0.25).unwrap();
    assert!((0.1..0.4).contains(&point.offloaded), "{}", run.table());
    assert!(point.gain.low > 0.0, "{}", run.table());
    assert!(run.cloud_accuracy().unwrap().low > run.edge_accuracy().unwrap().high, "{}", run.table());
    let difference = point.accuracy.median - point.random_accuracy.median;
    assert!((point.gain.median - difference).abs() < 1e-12);
}

#[test]
fn none_and_all_are_the_two_models_alone() {
    let run = run();
    let (first, last) = (run.points.first().unwrap(), run.points.last().unwrap());
    assert_eq!((first.threshold, first.offloaded), (0.0, 0.0));
    assert!((first.accuracy.median - run.edge_accuracy().unwrap().median).abs() < 1e-12);
    assert!(last.offloaded > 0.9);
    assert!((first.gain.low, first.gain.high) == (0.0, 0.0));
    assert!(run.points.windows(2).all(|pair| pair[0].offloaded <= pair[1].offloaded));
}

#[test]
fn each_question_to_the_cloud_takes_the_link_twice() {
    let run = run();
    assert!(run.round_trips.iter().all(|seconds| *seconds >= 0.010), "{:?}", run.round_trips);
    let (first, last) = (run.points.first().unwrap(), run.points.last().unwrap());
    assert!(last.mean_seconds > first.mean_seconds + 0.9 * 0.010 * last.offloaded, "{}", run.table());
    let some = run.near_share(0.25).unwrap();
    assert!(some.p99_seconds >= 0.010 && some.mean_seconds < some.p99_seconds, "{}", run.table());
}

#[test]
fn the_random_control_is_the_mean_over_all_choices() {
    // By hand: 4 rows, of which the edge gets 2 right and the cloud 3. Half to the cloud at random: (2 + 3) / 2 of 4.
    let mut run = run().clone();
    run.rows.truncate(4);
    for (row, (confidence, edge, cloud)) in
        run.rows.iter_mut().zip([(0.9, true, true), (0.4, false, true), (0.5, false, true), (0.8, true, false)])
    {
        (row.confidence, row.edge_right, row.cloud_right) = (confidence, edge, cloud);
    }
    let again = run.at(0.6);
    assert_eq!(again.offloaded, 0.5);
    assert_eq!(again.accuracy.median, 1.0);
    assert_eq!(again.random_accuracy.median, 0.625);
    assert_eq!(again.gain.median, 0.375);
}

#[test]
fn a_burst_at_the_edge_overflows_into_the_cloud() {
    let arrivals = Arrivals::Bursts { per_second: 50.0, factor: 8.0, period: 20.0, length: 4.0 };
    let burst = Burst::new(20_000, arrivals).edge_per_second(100.0).cloud_per_second(1_000.0);
    let replay = burst.run(run()).unwrap();
    // In a burst 400 come per second and the edge does 100.
    assert!(replay.share_of(Answered::Nobody, false) > 0.3, "{}", replay.table());
    assert_eq!(replay.share_of(Answered::Nobody, true), 0.0);
    assert_eq!(replay.share_of(Answered::CloudForWantOfEdge, true), replay.share_of(Answered::Nobody, false));
    assert!(replay.right(true).unwrap().low > replay.right(false).unwrap().high);
    // At most 20 wait at the edge, 10 ms each.
    assert!(replay.seconds(false).1 <= 0.2 + 1e-9);
    assert_eq!(replay, burst.run(run()).unwrap());
    let outcome = in_fresh_process(&Experiment::Burst(burst, run().clone())).unwrap();
    let Outcome::Burst(there) = outcome else { panic!("another experiment answered") };
    assert_eq!(there.table(), replay.table());
    let text = replay.table().to_string();
    assert!(text.contains("because the edge was full") && text.contains("replayed"), "{text}");
    assert!(replay.figure().unwrap().to_string().contains("shed with the cloud"));
}

#[test]
fn where_both_are_full_requests_are_shed_and_the_edges_answer_has_to_do() {
    let arrivals = Arrivals::Poisson { per_second: 400.0 };
    let replay = Burst::new(20_000, arrivals).cloud_per_second(50.0).threshold(0.9).run(run()).unwrap();
    assert!(replay.share_of(Answered::EdgeForWantOfCloud, true) > 0.0);
    // The edge and the cloud together do 150 of 400, and what the edge asks takes some of that.
    let shed = replay.share_of(Answered::Nobody, true);
    assert!((0.6..0.76).contains(&shed), "{}", replay.table());
    assert!((replay.share_of(Answered::Nobody, false) - 0.75).abs() < 0.02, "{}", replay.table());
    let kinds =
        [Answered::Edge, Answered::EdgeForWantOfCloud, Answered::Cloud, Answered::CloudForWantOfEdge, Answered::Nobody];
    let all: f64 = kinds.into_iter().map(|kind| replay.share_of(kind, true)).sum();
    assert!((all - 1.0).abs() < 1e-9);
}

#[test]
fn a_quiet_edge_behaves_like_a_queue_with_fixed_service() {
    // M/D/1 at rho = 0.5: mean wait rho s / (2 (1 - rho)) = s / 2 (Pollaczek-Khinchine).
    let replay = Burst::new(200_000, Arrivals::Poisson { per_second: 50.0 }).room(1_000).run(run()).unwrap();
    let (mean, _) = replay.seconds(false);
    assert!((mean - 0.015).abs() < 0.03 * 0.015, "{mean}");
}

#[test]
fn what_can_not_be_run_is_refused() {
    let link = Link::custom("cloud", 0.005, 12.5e6).unwrap();
    let text = complaint(Cascade::new(Mlp::new(8), Mlp::new(8), link).run());
    assert!(text.contains("nothing was varied") && text.contains("M(8)"), "{text}");
    let text = complaint(cascade().thresholds([0.5, 1.5]).run());
    assert!(text.contains("1.5 is no confidence"), "{text}");
    assert!(cascade().thresholds([]).run().is_err());
    let text = complaint(Cascade::new(Mlp::new(8), Mlp::new(16), Link::data_center()).run());
    assert!(text.contains("can't be emulated"), "{text}");
    let arrivals = Arrivals::Poisson { per_second: 50.0 };
    let text = complaint(Burst::new(100, arrivals).edge_per_second(0.0).run(run()));
    assert!(text.contains("an edge of 0 and"), "{text}");
    assert!(Burst::new(100, arrivals).room(0).run(run()).is_err());
    assert!(Burst::new(100, arrivals).threshold(f64::NAN).run(run()).is_err());
}

#[test]
fn a_run_can_be_stored_and_shown() {
    let run = run();
    let text = serde_json::to_string(run).unwrap();
    let stored: CascadeRun = serde_json::from_str(&text).unwrap();
    assert_eq!((stored.rows.len(), stored.table()), (run.rows.len(), run.table()));
    let text = run.table().to_string();
    assert!(text.contains("M(8) at the edge, M(128) behind cloud") && text.contains("emulated"), "{text}");
    assert!(run.figure().unwrap().to_string().contains("at random"));
}
