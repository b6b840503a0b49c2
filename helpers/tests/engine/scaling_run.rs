//! What a result says about itself, on step times made from known constants.

use onramp::experiment::{Baseline, ScalingPoint};
use onramp::prelude::*;

/// The fixed part of a step, seconds.
const FIXED: f64 = 0.4e-3;
/// Operations per second of one worker.
const SPEED: f64 = 40e9;
const ROWS: [usize; 6] = [8, 32, 128, 512, 2048, 8192];

fn model() -> Mlp {
    Mlp::new(256)
}

/// Seconds of one worker's step.
fn alone(rows: usize) -> f64 {
    FIXED + model().flops_per_row() * rows as f64 / SPEED
}

/// Seven repeats around a value, one percent up and down, so that there are intervals.
fn around(value: f64) -> Estimate {
    Estimate::from_samples([0.99, 1.0, 1.01, 1.0, 0.995, 1.005, 1.0].map(|factor| factor * value).to_vec()).unwrap()
}

/// A run in which every step takes exactly what the formulas say.
fn run(link: Link, prediction: Prediction) -> ScalingRun {
    let experiment = DataParallel::new(model()).workers([1, 2, 8]).rows_per_worker(ROWS).link(link.clone());
    let (mut baselines, mut points) = (Vec::new(), Vec::new());
    for rows in ROWS {
        let one_thread = around(alone(rows));
        // Two threads need 60 % of the time of one.
        let best_process = one_thread.map(|seconds| 0.6 * seconds);
        baselines.push(Baseline { rows, one_thread: one_thread.clone(), best_process, best_threads: 2 });
        for workers in [1, 2, 8] {
            let communication = Algorithm::Ring.seconds(&link, workers, model().gradient_bytes() as f64);
            let step_seconds = around(alone(rows) + communication);
            let efficiency = one_thread.ratio(&step_seconds);
            let p = workers as f64;
            points.push(ScalingPoint {
                workers,
                rows_per_worker: rows,
                provenance: if workers == 1 { Provenance::Measured } else { Provenance::Replayed },
                throughput: step_seconds.map(|seconds| p * rows as f64 / seconds),
                speed_up: efficiency.map(|share| p * share),
                efficiency,
                step_seconds,
            });
        }
    }
    let machine = Machine { cpu: "test".into(), logical_cores: 2, physical_cores: 2, memory_bytes: 1 << 30 };
    ScalingRun { experiment, prediction, machine, baselines, points, packing_seconds: 0.0 }
}

fn guess(quantity: onramp::judgement::Quantity) -> Prediction {
    predict("What comes out?", quantity).unwrap()
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found / expected - 1.0).abs() < tolerance, "{found}, expected {expected}");
}

#[test]
fn the_constants_of_one_worker_are_found_again() {
    let cost = run(Link::lan(), guess(times(4.0))).cost().unwrap();
    near(cost.fixed_seconds.median, FIXED, 1e-6);
    near(cost.flops_per_second.median, SPEED, 1e-6);
    near(cost.flops_per_second_near(500.0).unwrap().median, SPEED, 1e-6);
}

#[test]
fn half_efficiency_is_predicted_and_fitted_where_the_formula_puts_it() {
    let run = run(Link::lan(), guess(times(4.0)));
    let ring = Algorithm::Ring.seconds(&Link::lan(), 8, model().gradient_bytes() as f64);
    near(run.communication_seconds(8), ring, 1e-9);
    let expected = (ring - FIXED) * SPEED / model().flops_per_row();
    near(run.half_efficiency_rows_predicted().unwrap().median, expected, 1e-6);
    let fit = run.fit(HalfEfficiency).unwrap();
    assert!(fit.holds, "{fit}");
    let half = fit.derived("b*").unwrap();
    near(half.value, expected, 0.02);
    near(half.predicted.as_ref().unwrap().value.median, expected, 1e-6);
}

#[test]
fn a_fixed_part_longer_than_the_all_reduce_predicts_no_half() {
    let link = Link::custom("instant", 1e-9, 1e15).unwrap();
    assert_eq!(run(link, guess(times(4.0))).half_efficiency_rows_predicted().unwrap().median, 0.0);
}

#[test]
fn the_prediction_is_held_against_what_it_was_about() {
    // Without a question it is about 8 workers and the middle of the rows, 512.
    let link = Link::lan();
    let share = alone(512) / (alone(512) + Algorithm::Ring.seconds(&link, 8, model().gradient_bytes() as f64));
    let text = |quantity| run(Link::lan(), guess(quantity)).reveal().unwrap().text;
    assert!(run(Link::lan(), guess(times(8.0 * share))).reveal().unwrap().right);
    assert!(run(Link::lan(), guess(percent(100.0 * share))).reveal().unwrap().right);
    assert!(text(times(16.0 * share)).contains("off by a factor 2"), "{}", text(times(16.0 * share)));
    let fit = run(Link::lan(), guess(rows(1.0))).fit(HalfEfficiency).unwrap();
    assert!(run(Link::lan(), guess(rows(fit.derived("b*").unwrap().value))).reveal().unwrap().right);
}

#[test]
fn the_verdict_depends_on_the_link() {
    let belief = "Eight workers are eight times as fast";
    let on = |link| run(link, guess(times(4.0))).verdict(belief).unwrap();
    let wan = on(Link::wan());
    assert!(wan.answer == Answer::Myth && wan.cases.iter().all(|case| case.answer == Answer::Myth), "{wan}");
    // The data centre's link holds it up from 512 rows on.
    let fast = on(Link::data_center());
    let answers: Vec<Answer> = fast.cases.iter().map(|case| case.answer).collect();
    assert_eq!(answers[0], Answer::Myth);
    assert_eq!(answers[3..], [Answer::HoldsHere; 3]);
    assert!(fast.conditions.iter().any(|condition| condition.contains("data center")));
}

#[test]
fn workers_must_beat_the_best_process_and_not_only_one_thread() {
    let run = run(Link::lan(), guess(times(4.0)));
    // 8 rows: 8 workers have 8 x 0.03 of one thread's throughput. 8,192 rows: 2 workers have 1.9 times as much,
    // the best process 1.67 times.
    assert_eq!(run.workers_to_beat_one_process(8), None);
    assert_eq!(run.workers_to_beat_one_process(8192), Some(2));
    // 512 rows: 2 workers have 1.4 times as much and lose to the best process, 8 have 4.6 times as much.
    assert_eq!(run.workers_to_beat_one_process(512), Some(8));
}

#[test]
fn one_worker_times_p_is_not_assumed_for_points_that_were_not_run() {
    let run = run(Link::lan(), guess(times(4.0)));
    assert!(run.point(4, 8).is_err() && run.point(8, 9).is_err());
    assert_eq!(run.point(8, 8).unwrap().provenance, Provenance::Replayed);
    assert!(run.replay_check().is_empty(), "nothing was emulated");
}
