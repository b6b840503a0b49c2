//! Experiments in a process of their own.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{complaint, guess};
use onramp::prelude::*;
use onramp::serving::ScalingCase;

fn small_training() -> Training {
    Training::new(Mlp::new(16).inputs(64)).data(Source::digits()).steps(30).seed(2)
}

#[test]
fn a_fresh_process_gives_the_same_result() {
    let Outcome::Train(there) = in_fresh_process(&Experiment::Train(small_training())).unwrap() else {
        panic!("training should give a training run");
    };
    let here = small_training().run().unwrap();
    assert_eq!(there.losses.len(), 30);
    // The way through JSON may change the last digit of 17.
    for (its, own) in there.losses.iter().zip(&here.losses) {
        assert!((its / own - 1.0).abs() < 1e-12, "{its} there, {own} here");
    }
    assert_eq!(there.training, here.training);
}

#[test]
fn the_workers_error_is_passed_on() {
    let experiment = Experiment::Train(small_training().rows_per_step(1_000_000));
    let text = complaint(in_fresh_process(&experiment));
    assert_eq!(text, complaint(small_training().rows_per_step(1_000_000).run()));
}

#[test]
fn the_worker_reads_standard_input_and_answers_with_exit_code_2() {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_onramp-worker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    worker.stdin.take().unwrap().write_all(b"{\"train\": 1}").unwrap();
    let output = worker.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("this is not an experiment in JSON"), "{text}");
}

#[test]
fn the_worker_reads_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("experiment.json");
    std::fs::write(&file, Experiment::Train(small_training()).to_json().unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_onramp-worker")).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(matches!(Outcome::from_json(&String::from_utf8(output.stdout).unwrap()).unwrap(), Outcome::Train(_)));

    let output =
        Command::new(env!("CARGO_BIN_EXE_onramp-worker")).arg(folder.path().join("none.json")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.json"));
}

#[test]
fn every_experiment_survives_json() {
    let experiments = [
        Experiment::DataParallel(DataParallel::new(Mlp::new(256)).asked_about(8, 64), guess()),
        Experiment::TimeToLoss(TimeToLoss::new(Mlp::new(128)).link(Link::data_center()), guess()),
        Experiment::WrongParallelism(WrongParallelism::new(Mlp::new(32)), guess()),
        Experiment::Train(small_training()),
        Experiment::StepTime(StepTime::new(Mlp::new(64)).rows(8).threads(2)),
        Experiment::InferenceTime(InferenceTime::new(Mlp::new(64)).rows([1, 3]).on_core(1)),
        Experiment::Feedback(Feedback::new(9_000).inputs_shift(3_000, 1.5).retrain(Retrain::OnDriftOrAccuracy)),
        Experiment::Cascade(Cascade::new(Mlp::new(8), Mlp::new(64), Link::data_center()).thresholds([0.5])),
        Experiment::NeighbourSearch(NeighbourSearch::new().limit_seconds(0.01).probes([3])),
        Experiment::Stages(Stages::new().training().faster(Stage::Parse, 2)),
        Experiment::Scan(Scan::new("rows.csv").by("label").mean_of(["x0"]).filter("x0", 0.0, f64::INFINITY)),
        Experiment::WriteTable(WriteTable::new("rows.csv", Teacher::new(9).columns(2), Layout::Csv)),
        Experiment::Chain(Chain::new([1, 3]).hedge(Hedge::at_percentile(0.95)).optional(0)),
        Experiment::ScalingReplay(
            ScalingReplay::new(HpaRule::new(14.0)).log(RequestLog::new(100, Arrivals::Poisson { per_second: 9.0 })),
        ),
    ];
    for experiment in experiments {
        assert_eq!(Experiment::from_json(&experiment.to_json().unwrap()).unwrap(), experiment);
    }
}

#[test]
fn experiments_with_serving_run_in_a_fresh_process() {
    let outcome = |experiment| in_fresh_process(&experiment).unwrap();
    let time = InferenceTime::new(Mlp::new(16)).rows([1, 8]).samples(1);
    let Outcome::InferenceTime(run) = outcome(Experiment::InferenceTime(time.clone())) else { panic!("not its times") };
    assert_eq!((run.experiment, run.seconds.len()), (time, 2));

    let replay = ScalingReplay::new(HpaRule::new(14.0)).cold_starts([0.0, 3.0]).seconds(100.0);
    let Outcome::ScalingReplay(run) = outcome(Experiment::ScalingReplay(replay.clone())) else { panic!("no replay") };
    let here = replay.run().unwrap();
    let areas = |cases: Vec<ScalingCase>| cases.into_iter().map(|case| case.backlog_request_seconds);
    for (its, own) in areas(run.cases).zip(areas(here.cases)) {
        assert!((its - own).abs() < 1e-9 * own, "{its} there, {own} here");
    }

    // Its hops are processes of their own.
    let chain = Chain::new([2]).calls(5);
    let Outcome::Chain(run) = outcome(Experiment::Chain(chain)) else { panic!("no chain") };
    assert_eq!((run.points[0].hops, run.points[0].latencies_seconds.len()), (2, 5), "{:?}", run.points[0].failures);

    let stages = Stages::new().rows(400, 200).faster(Stage::Parse, 2);
    assert!(matches!(outcome(Experiment::Stages(stages)), Outcome::Stages(_)));
    let feedback = Feedback::new(1_000);
    assert!(matches!(outcome(Experiment::Feedback(feedback)), Outcome::Feedback(_)));
    let search = NeighbourSearch::new().rows([1_000, 10_000]);
    assert_eq!(complaint(in_fresh_process(&Experiment::NeighbourSearch(search.clone()))), complaint(search.run()));
}
