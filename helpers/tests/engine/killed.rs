//! A worker process that is killed in the middle of a step.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::complaint;
use onramp::prelude::*;

#[test]
fn the_end_of_a_killed_worker_is_told_with_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    // Minutes, if nobody ended it.
    let training = Training::new(Mlp::new(128)).data(Source::teacher(2_000)).rows_per_step(64).steps(500_000);
    let shared = SharedTraining::new(training.evaluate_every(100_000), 2).saving(Checkpoints::at(&file).every(20));
    let (tell, told) = mpsc::channel();
    let notebook = std::thread::spawn(move || {
        // SAFETY: gettid only reads this thread's number.
        tell.send(unsafe { libc::gettid() }).unwrap();
        complaint(in_fresh_process(&Experiment::TrainShared(shared)))
    });
    let thread = told.recv().unwrap();
    let started = Instant::now();
    while !file.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "there is no checkpoint after a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Each thread's children are listed apart, so other tests' processes are not taken for this one's.
    let children = std::fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap();
    let worker: i32 = children.trim().parse().unwrap();
    let killed = Instant::now();
    // SAFETY: the signal goes to a process that this test started, and that still runs.
    assert_eq!(unsafe { libc::kill(worker, libc::SIGKILL) }, 0);
    let text = notebook.join().unwrap();
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}: {text}");
    let checkpoint = Checkpoint::load(&file).unwrap();
    let named = format!("The last checkpoint is {}, after step {} of 500000", file.display(), checkpoint.steps);
    assert!(text.contains("killed (signal 9)") && text.contains(&named), "{text}, expected {named}");
}
