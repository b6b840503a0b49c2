//! What a learner may type by mistake, and what they are told.

use super::{complaint, guess};
use onramp::communication::Synchronisation;
use onramp::prelude::*;

fn run(experiment: DataParallel) -> String {
    complaint(experiment.run(&guess()))
}

#[test]
fn impossible_data_parallel_experiments_are_refused_before_they_start() {
    let base = || DataParallel::new(Mlp::new(8));
    let cases = [
        (run(base().workers([0, 2])), "0 workers do no work, but the list [0, 2]"),
        (run(base().workers([])), "list of workers"),
        (run(base().workers([1])), "nothing was varied: 1 worker would be compared with itself"),
        (run(base().workers([1000])), "1000 workers are more than"),
        (run(base().rows_per_worker([0, 8])), "a step of 0 rows has no gradient, but the list [0, 8]"),
        (run(base().rows_per_worker([])), "rows per worker is empty"),
        (
            run(base().workers([1, 8]).rows_per_worker([512]).data_rows(1000)),
            "8 workers with 512 rows each need 4096 rows for one step, but the data set has 1000",
        ),
        (run(base().repeats(0)), "0 repeats measure nothing"),
        (run(base().asked_about(0, 8)), "0 workers do no work"),
        (run(DataParallel::new(Mlp::new(0))), "width 0"),
        (run(base().synchronisation(Synchronisation::Buckets { bytes: 3 })), "a bucket of 3 bytes holds no number"),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "expected \"{expected}\" in: {text}");
    }
}

#[test]
fn a_prediction_in_another_unit_is_refused() {
    let seconds = predict("How long?", seconds(1.0)).unwrap();
    let text = complaint(DataParallel::new(Mlp::new(8)).run(&seconds));
    assert!(text.contains("the prediction is a s") && text.contains("times(4.0)"), "{text}");
    let text = complaint(TimeToLoss::new(Mlp::new(8)).run(&predict("How much?", percent(10.0)).unwrap()));
    assert!(text.contains("in %") && text.contains("times(4.0)"), "{text}");
}

#[test]
fn impossible_time_to_loss_experiments_are_refused() {
    let base = || TimeToLoss::new(Mlp::new(8));
    let cases = [
        (complaint(base().workers([0]).run(&guess())), "list of workers is [0]"),
        (complaint(base().workers([1]).run(&guess())), "nothing was varied"),
        (complaint(base().rows_per_worker(0).run(&guess())), "rows_per_worker is 0"),
        (complaint(base().seeds(0).run(&guess())), "seeds is 0"),
        (complaint(base().target_loss(-1.0).run(&guess())), "target loss is -1"),
        (
            complaint(base().data(Source::teacher(100)).workers([1, 2]).run(&guess())),
            "128 rows is larger than the data: 80 rows",
        ),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "expected \"{expected}\" in: {text}");
    }
}

#[test]
fn impossible_trainings_are_refused() {
    let base = || Training::new(Mlp::new(8).inputs(64)).data(Source::digits());
    let cases = [
        (complaint(base().rows_per_step(0).run()), "rows_per_step is 0"),
        (complaint(base().steps(0).run()), "steps is 0"),
        (complaint(base().learning_rate(0.0).run()), "learning rate is 0"),
        (complaint(base().learning_rate(f64::NAN).run()), "learning rate is NaN"),
        (complaint(base().rows_per_step(2000).run()), "a step of 2000 rows is larger than the data: 1438 rows"),
        (
            complaint(Training::new(Mlp::new(8)).data(Source::digits()).run()),
            "takes 784 inputs and tells 10 classes apart, but the data set 'digits' has 64 columns",
        ),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "expected \"{expected}\" in: {text}");
    }
}

#[test]
fn impossible_mistakes_are_refused() {
    let guess = predict("Which?", choice("a", ["a", "b"])).unwrap();
    let base = || WrongParallelism::new(Mlp::new(8));
    let cases = [
        (complaint(base().workers(1).run(&guess)), "nothing was varied: 1 workers"),
        (complaint(base().mistakes([]).run(&guess)), "0 mistakes"),
        (complaint(base().rows_per_worker(400).run(&guess)), "larger than a worker's share of the data: 359 of 1438"),
        (complaint(base().steps(0).run(&guess)), "steps is 0"),
        (
            complaint(base().run(&super::guess())),
            "the prediction is in times, but this experiment answers which mistake",
        ),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "expected \"{expected}\" in: {text}");
    }
}

#[test]
fn a_team_without_workers_and_a_missing_gpu_are_refused() {
    assert!(complaint(Team::new(0)).contains("0 workers"));
    let gpu = Device::Cuda { ordinal: 99 };
    let text = complaint(Mlp::new(8).build(0, &gpu).map(drop));
    assert!(text.contains("GPU number 99") && text.contains("Device::Cpu"), "{text}");
}

#[test]
fn a_step_time_without_rows_or_with_more_threads_than_cores_is_refused() {
    let step = StepTime::new(Mlp::new(8));
    for (wrong, part) in
        [(step.rows(0), "0 rows"), (step.samples(0), "0 samples"), (step.threads(4096), "4096 threads")]
    {
        let text = complaint(wrong.run());
        assert!(text.contains(part), "{text}");
    }
}
