//! The data-parallel experiment from end to end, on a model small enough for a test.

use onramp::experiment::{LossPoint, ScalingPoint};
use onramp::prelude::*;

use super::{alone, guess};

fn small_run() -> ScalingRun {
    DataParallel::new(Mlp::new(32))
        .workers([2, 8])
        .rows_per_worker([8, 64, 512])
        .link(Link::lan())
        .asked_about(8, 128)
        .run(&guess())
        .unwrap()
}

#[test]
fn a_run_has_everything_that_it_was_asked_for() {
    let _alone = alone();
    let run = small_run();
    let cores = Machine::detect().physical_cores;
    // The baseline and the question are added.
    let rows: Vec<usize> = run.baselines.iter().map(|baseline| baseline.rows).collect();
    assert_eq!(rows, [8, 64, 128, 512]);
    let count = |workers: usize, provenance: Provenance| {
        run.points.iter().filter(|point| (point.workers, point.provenance) == (workers, provenance)).count()
    };
    assert_eq!(count(1, Provenance::Measured), 4);
    assert_eq!(count(2, Provenance::Replayed), 4);
    assert_eq!(count(8, Provenance::Replayed), 4);
    for workers in [2, 8] {
        assert_eq!(count(workers, Provenance::Emulated), if workers <= cores { 4 } else { 0 });
    }
    assert!(run.points.iter().all(|point| point.step_seconds.samples.len() == 7));
    assert_eq!(run.prediction, guess());
    for point in &run.points {
        consistent(point);
    }
}

fn consistent(point: &ScalingPoint) {
    let rows = (point.workers * point.rows_per_worker) as f64;
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    assert!(near(point.throughput.median, rows / point.step_seconds.median));
    assert!(near(point.speed_up.median, point.workers as f64 * point.efficiency.median));
    if point.workers == 1 {
        assert_eq!(point.efficiency.median, 1.0);
    }
}

#[test]
fn efficiency_grows_with_the_rows_and_shrinks_with_the_workers() {
    let _alone = alone();
    let run = small_run();
    // All replayed, so that the same measured steps are behind each of them.
    let efficiency = |workers, rows| {
        let same = |point: &&ScalingPoint| {
            (point.workers, point.rows_per_worker, point.provenance) == (workers, rows, Provenance::Replayed)
        };
        run.points.iter().find(same).unwrap().efficiency.median
    };
    assert!(efficiency(8, 8) < efficiency(8, 64) && efficiency(8, 64) < efficiency(8, 512), "{}", run.table());
    for rows in [8, 64, 128, 512] {
        assert!(efficiency(8, rows) < efficiency(2, rows), "{rows} rows");
    }
    let table = run.table().to_string();
    assert!(table.contains("replayed") && table.contains("one thread"), "{table}");
    assert!(run.figure().is_ok() && run.throughput_figure().is_ok());
}

#[test]
fn half_efficiency_is_where_one_worker_and_the_link_put_it() {
    let _alone = alone();
    // The prediction knows one worker's steps and the link; the fit knows the steps of eight workers. Another program on the
    // cores can spoil a run, though not make a wrong formula right: one of three has to agree.
    let fits: Vec<Fit> = (0..3).map(|_| small_run().fit(HalfEfficiency).unwrap()).collect();
    let agrees = |fit: &Fit| fit.derived("b*").unwrap().factor().is_some_and(|apart| apart < 3.0);
    assert!(fits.iter().any(agrees), "{}", fits.iter().map(Fit::to_string).collect::<String>());
}

#[test]
fn more_workers_with_few_rows_on_a_slow_link_are_no_p_times_as_fast() {
    let _alone = alone();
    let verdict = small_run().verdict("Eight workers are eight times as fast").unwrap();
    assert_eq!(verdict.answer, Answer::Myth, "{verdict}");
}

#[test]
fn with_many_rows_on_a_fast_link_the_belief_holds() {
    let _alone = alone();
    let run = DataParallel::new(Mlp::new(32))
        .workers([1, 4])
        .rows_per_worker([4096])
        .link(Link::data_center())
        .run(&guess())
        .unwrap();
    assert!(run.points.iter().all(|point| point.provenance != Provenance::Emulated), "threads can't imitate this link");
    assert!(run.point(4, 4096).unwrap().efficiency.median > 0.8, "{}", run.table());
    assert!(run.table().to_string().contains("can't be emulated"));
}

#[test]
fn a_result_survives_json() {
    let _alone = alone();
    let run = DataParallel::new(Mlp::new(8)).workers([1, 2]).rows_per_worker([8]).repeats(2).run(&guess()).unwrap();
    let outcome = Outcome::DataParallel(run.clone());
    let Outcome::DataParallel(back) = Outcome::from_json(&outcome.to_json().unwrap()).unwrap() else {
        panic!("a scaling run should come back");
    };
    assert_eq!(back.points.len(), run.points.len());
    assert_eq!(back.experiment, run.experiment);
    // A fit needs more row counts than this run has, and says so.
    let text = run.fit(HalfEfficiency).map(drop).unwrap_err().to_string();
    assert!(text.starts_with("too few points"), "{text}");
    let text = run.point(3, 8).map(drop).unwrap_err().to_string();
    assert!(text.contains("3 workers with 8 rows each were not part of this run"), "{text}");
}

#[test]
fn a_larger_batch_needs_fewer_steps_but_not_p_times_fewer() {
    let _alone = alone();
    let run = TimeToLoss::new(Mlp::new(32).inputs(64))
        .data(Source::digits())
        .workers([1, 16])
        .rows_per_worker(32)
        .target_loss(0.4)
        .learning_rate(0.1, RateRule::SquareRoot)
        .run(&guess())
        .unwrap();
    let steps = |point: &LossPoint| point.steps.as_ref().unwrap().median;
    let [one, many] = &run.points[..] else { panic!("two numbers of workers") };
    assert_eq!((one.rows_per_step, many.rows_per_step), (32, 512));
    assert!(steps(many) < steps(one), "{} and {} steps", steps(one), steps(many));
    assert!(steps(many) > steps(one) / 16.0, "{} and {} steps", steps(one), steps(many));
    let share = run.statistical_efficiency(16).unwrap();
    assert!(share.high < 0.9, "{share}");
    let to_loss = run.speed_up(16).unwrap().median;
    assert!(to_loss < many.throughput_speed_up.median, "{to_loss}");
    assert_eq!(run.verdict("Twice the throughput is half the time").unwrap().answer, Answer::Myth);
    assert!(run.table().to_string().contains("steps to the loss"));
    assert!(run.figure().is_ok());
}

#[test]
fn a_loss_that_is_never_reached_is_reported_and_not_invented() {
    let _alone = alone();
    let run = TimeToLoss::new(Mlp::new(8).inputs(64))
        .data(Source::digits())
        .workers([1, 2])
        .rows_per_worker(8)
        .most_steps(3)
        .seeds(2)
        .run(&guess())
        .unwrap();
    assert!(run.points.iter().all(|point| point.steps.is_none() && point.missed == 2));
    let text = run.speed_up(2).unwrap_err().to_string();
    assert!(text.contains("did not reach a loss of 0.85 within 3 steps"), "{text}");
    assert!(run.table().to_string().contains("not reached"));
    assert!(run.figure().is_ok());
}
