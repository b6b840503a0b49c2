//! Whatever becomes of a worker, the others don't wait for it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::complaint;
use crate::again::{press_soon, with_stop_button};
use onramp::communication::ThreadCommunicator;
use onramp::prelude::*;

/// Far above the 2 seconds that are promised, because the machine may be busy, and far below the patience of 60.
const SOON: Duration = Duration::from_secs(5);

/// The error that a run of this team ends with, soon. A run that hangs fails the test instead of hanging it.
fn failure(team: Team, work: impl Fn(&mut ThreadCommunicator) -> Result<(), Error> + Send + Sync + 'static) -> Error {
    let (sender, receiver) = mpsc::channel();
    let start = Instant::now();
    std::thread::spawn(move || sender.send(team.run(|mut worker| work(&mut worker))));
    let end = receiver.recv_timeout(Duration::from_secs(30)).expect("the run hangs");
    assert!(start.elapsed() < SOON, "the run ended only after {:?}", start.elapsed());
    end.expect_err("this should have failed")
}

fn failure_text(
    workers: usize,
    work: impl Fn(&mut ThreadCommunicator) -> Result<(), Error> + Send + Sync + 'static,
) -> String {
    failure(Team::new(workers).unwrap(), work).to_string()
}

fn sum(worker: &mut ThreadCommunicator, length: usize) -> Result<(), Error> {
    worker.all_reduce_sum(&mut vec![1.0; length])
}

/// A loop without an end, as a mistake in a learner's code makes it, that can be stopped.
fn loop_for_ever() -> Result<(), Error> {
    loop {
        check_interrupt()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_panic_ends_the_run_with_its_message() {
    for algorithm in Algorithm::ALL {
        let error = failure(Team::new(4).unwrap().algorithm(algorithm), |worker| {
            if worker.rank() == 1 {
                panic!("no more disk");
            }
            sum(worker, 8)
        });
        let text = error.to_string();
        assert!(text.contains("worker 1 of 4 panicked") && text.contains("no more disk"), "{text}");
    }
}

#[test]
fn the_error_of_one_worker_is_what_the_run_returns() {
    let text = failure_text(3, |worker| {
        if worker.rank() == 2 {
            return Err(Error::invalid("row 17 is empty"));
        }
        worker.barrier()
    });
    assert_eq!(text, "row 17 is empty");
}

#[test]
fn a_failure_also_ends_loops_that_can_be_interrupted() {
    let text = failure_text(3, |worker| match worker.rank() {
        0 => Err(Error::invalid("row 17 is empty")),
        1 => loop_for_ever(),
        _ => worker.barrier(),
    });
    assert_eq!(text, "row 17 is empty");
}

#[test]
fn a_worker_that_returns_early_does_not_keep_the_others() {
    let text = failure_text(3, |worker| {
        worker.barrier()?;
        if worker.rank() == 1 {
            return Ok(());
        }
        sum(worker, 8)
    });
    assert!(text.contains("worker 1 stopped while worker") && text.contains("all_reduce_sum of 8 numbers"), "{text}");
    assert!(text.contains("it ended as worker 1 in barrier (its call 1)"), "{text}");
}

#[test]
fn a_silent_worker_is_named_with_its_last_call_when_patience_ends() {
    let team = Team::new(3).unwrap().patience(Duration::from_millis(500));
    let text = failure(team, |worker| {
        worker.barrier()?;
        if worker.rank() == 2 {
            // The others can't end it, but their failure reaches it here.
            return loop_for_ever();
        }
        sum(worker, 8)
    })
    .to_string();
    assert!(text.contains("waited 500ms for worker 2, which made no call since barrier (its call 1)"), "{text}");
}

#[test]
fn a_worker_that_never_calls_is_named_too() {
    let team = Team::new(2).unwrap().patience(Duration::from_millis(200));
    let text = failure(team, |worker| {
        if worker.rank() == 0 {
            // Stays alive, but does not take part.
            std::thread::sleep(Duration::from_millis(800));
            return Ok(());
        }
        worker.barrier()
    })
    .to_string();
    assert!(text.contains("worker 1 in barrier (its call 1) waited 200ms for worker 0, which has made no"), "{text}");
}

#[test]
fn patience_counts_from_when_somebody_waits() {
    // Both compute for longer than the patience, one a little longer; a slow transfer is no silence either.
    let link = Link::custom("slow", 0.3, 1e6).unwrap();
    let team = Team::new(2).unwrap().over(&link).unwrap().patience(Duration::from_millis(250));
    team.run(|mut worker| {
        std::thread::sleep(Duration::from_millis(400 + 50 * worker.rank() as u64));
        worker.barrier()
    })
    .unwrap();
}

#[test]
fn different_lengths_are_told_with_both_calls() {
    for algorithm in Algorithm::ALL {
        let text = failure(Team::new(2).unwrap().algorithm(algorithm), |worker| sum(worker, 4 + worker.rank()));
        let text = text.to_string();
        let named = text.contains("all_reduce_sum of 4 numbers") && text.contains("all_reduce_sum of 5 numbers");
        assert!(named, "{algorithm}: {text}");
    }
}

#[test]
fn different_calls_are_told_with_both_names() {
    for workers in [2, 3, 4] {
        let text = failure_text(workers, |worker| match worker.rank() {
            1 => worker.barrier(),
            _ => sum(worker, 8),
        });
        assert!(text.contains("called all_reduce_sum of 8 numbers") || text.contains("called barrier"), "{text}");
        assert!(text.contains("all_reduce_sum of 8 numbers (") && text.contains("barrier ("), "{text}");
        let text = failure_text(workers, |worker| match worker.rank() {
            0 => worker.all_gather(&mut [0.0; 8]),
            _ => worker.reduce_scatter_sum(&mut [0.0; 8]).map(drop),
        });
        assert!(text.contains("all_gather of 8") && text.contains("reduce_scatter_sum of 8"), "{text}");
    }
}

#[test]
fn workers_that_wait_for_each_other_are_told_at_once() {
    // Worker 0 waits for the numbers of worker 1, worker 1 for those of worker 0.
    let text = failure_text(2, |worker| worker.broadcast(&mut [0.0; 3], 1 - worker.rank()));
    assert!(text.contains("wait for each other for ever"), "{text}");
    assert!(text.contains("worker 0 in broadcast of 3 numbers from worker 1 (its call 1)"), "{text}");
    assert!(text.contains("worker 1 in broadcast of 3 numbers from worker 0 (its call 1)"), "{text}");
}

#[test]
fn calls_that_differ_without_a_wait_are_told_at_the_end() {
    // Both believe that they are the root, so neither waits.
    let text = failure_text(2, |worker| worker.broadcast(&mut [0.0; 3], worker.rank()));
    assert!(text.contains("from worker 0") && text.contains("from worker 1"), "{text}");
}

/// So many numbers are lent and not copied: then a sender waits, too.
const MANY: usize = 20_000;

#[test]
fn workers_that_wait_for_their_numbers_to_be_read_are_told_at_once() {
    // Both believe that they are the root, and wait until the other has read.
    let text = failure_text(2, |worker| worker.broadcast(&mut vec![0.0; MANY], worker.rank()));
    assert!(text.contains("wait for each other for ever"), "{text}");
    // Worker 0 has returned without a call.
    let text = failure_text(2, |worker| match worker.rank() {
        0 => Ok(()),
        _ => worker.broadcast(&mut vec![0.0; MANY], 1),
    });
    assert!(text.contains("worker 1 in broadcast of 20000 numbers") && text.contains("worker 0 before its"), "{text}");
    // The numbers of worker 0 are read by worker 1 after it got something from worker 2, which got something from worker 0
    // after those.
    let text = failure_text(3, |worker| {
        let mut numbers = vec![0.0; MANY];
        if worker.rank() == 1 {
            worker.receive(2, &mut [0.0])?;
        }
        worker.broadcast(&mut numbers, 0)?;
        match worker.rank() {
            0 => worker.send(2, &[1.0]),
            2 => worker.receive(0, &mut [0.0]).and_then(|()| worker.send(1, &[1.0])),
            _ => Ok(()),
        }
    });
    assert!(text.contains("wait for each other for ever"), "{text}");
}

#[test]
fn different_calls_with_many_numbers_are_told() {
    for workers in [2, 3] {
        let text = failure_text(workers, move |worker| match worker.rank() {
            1 => worker.all_reduce_sum(&mut vec![0.0; MANY * workers]),
            _ => worker.reduce_scatter_sum(&mut vec![0.0; MANY * workers]).map(drop),
        });
        let names_both = text.contains("all_reduce_sum of") && text.contains("reduce_scatter_sum of");
        assert!(names_both || text.contains("wait for each other for ever"), "{text}");
    }
}

#[test]
fn a_reader_that_computes_for_long_is_waited_for_and_a_silent_one_is_told() {
    let slow = |worker: &mut ThreadCommunicator| {
        if worker.rank() == 1 {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        worker.broadcast(&mut vec![worker.rank() as f32; MANY], 0)
    };
    Team::new(2).unwrap().run(|mut worker| slow(&mut worker)).unwrap();
    let hasty = Team::new(2).unwrap().patience(std::time::Duration::from_millis(100));
    let text = complaint(hasty.run(|mut worker| slow(&mut worker)));
    assert!(text.contains("waited 100ms for worker 1, which has made no call yet"), "{text}");
}

#[test]
fn a_failed_team_makes_no_further_calls() {
    let text = failure_text(2, |worker| {
        if worker.rank() == 0 {
            return Err(Error::invalid("row 17 is empty"));
        }
        // Goes on after the error, as a program may.
        assert!(worker.barrier().is_err());
        assert!(complaint(worker.barrier()).contains("worker 1 stopped because worker"));
        Ok(())
    });
    assert_eq!(text, "row 17 is empty");
}

#[test]
fn a_broadcast_from_nobody_is_refused() {
    let text = failure_text(2, |worker| worker.broadcast(&mut [0.0; 3], 2));
    assert!(text.contains("worker 2 can't broadcast: the 2 workers are numbered from 0 to 1"), "{text}");
    assert!(Replay::of(&Link::lan(), 2, &[(Collective::Broadcast { root: 2 }, 3)]).is_err());
}

#[test]
fn stop_ends_every_wait() {
    with_stop_button("engine::team_failures::stop_ends_every_wait", |button| {
        let slow = Team::new(2).unwrap().over(&Link::custom("slow", 40.0, 1e6).unwrap()).unwrap();
        let waits: [(Team, fn(&mut ThreadCommunicator) -> Result<(), Error>); 2] = [
            // For a message that takes 40 seconds.
            (slow, |worker| worker.barrier()),
            // For a worker that does something else.
            (Team::new(2).unwrap(), |worker| if worker.rank() == 0 { worker.barrier() } else { loop_for_ever() }),
        ];
        for (team, work) in waits {
            std::fs::write(button, [0]).unwrap();
            let press = press_soon(button);
            let error = failure(team, work);
            press.join().unwrap();
            assert!(matches!(error, Error::Interrupted), "{error}");
        }
    });
}
