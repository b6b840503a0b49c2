//! Experiments in a process of their own.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{complaint, guess};
use onramp::prelude::*;

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
    ];
    for experiment in experiments {
        assert_eq!(Experiment::from_json(&experiment.to_json().unwrap()).unwrap(), experiment);
    }
}
