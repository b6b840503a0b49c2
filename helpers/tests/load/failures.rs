//! Services that do wrong: everything is counted under its name, and nothing ends the load.

use onramp::load::{AnswerClass, Failure, Load, LoadRun};

use super::services::{Raw, Reply, proper};

/// About 200 requests to a service that answers like that.
fn load(reply: impl Fn(usize) -> Reply + Send + Sync + 'static, change: impl Fn(Load) -> Load) -> LoadRun {
    let service = Raw::start(reply);
    change(Load::new(&service.address).rate(400.0).seconds(0.5).warm_up_seconds(0.0).timeout(5.0)).run().unwrap()
}

fn add_up(run: &LoadRun) {
    let ended = run.answers.values().sum::<u64>() + run.failures.values().sum::<u64>();
    assert_eq!(run.due, ended + run.given_up, "{}", run.table());
}

#[test]
fn statuses_are_counted_and_only_successes_have_the_percentiles() {
    let run = load(
        |request| match request % 4 {
            0 => (proper("429 Too Many Requests", "retry-after: 3\r\n"), false),
            1 => (proper("503 Service Unavailable", "retry-after: 7\r\n"), false),
            2 => (proper("504 Gateway Timeout", ""), false),
            _ => (proper("200 OK", ""), false),
        },
        |load| load,
    );
    add_up(&run);
    for status in [200, 429, 503, 504] {
        assert!(run.with_status(status).abs_diff(run.due / 4) <= 1, "{}", run.table());
    }
    assert_eq!(run.failed(), run.due - run.with_status(200));
    let seen = run.retry_after.unwrap();
    assert_eq!((seen.least, seen.most, seen.answers), (3, 7, run.with_status(429) + run.with_status(503)));
    if run.kept_up() {
        let count = |class| run.latencies_of(class).unwrap().count();
        assert_eq!(count(AnswerClass::Success), run.with_status(200));
        assert_eq!(count(AnswerClass::Refusal), run.with_status(429));
        assert_eq!(count(AnswerClass::ServerError), run.with_status(503) + run.with_status(504));
        assert_eq!(count(AnswerClass::None), 0);
    }
    let text = run.table().to_string();
    assert!(text.contains("answers 429") && text.contains("after 3 to 7 s"), "{text}");
}

#[test]
fn garbage_is_told_from_a_connection_that_was_cut() {
    let run = load(
        |request| match request % 5 {
            0 => (b"what do you want?\r\n\r\n".to_vec(), true),
            1 => (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.".to_vec(), true),
            2 => (Vec::new(), true),
            3 => (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n".to_vec(), true),
            _ => (proper("200 OK", ""), true),
        },
        |load| load,
    );
    add_up(&run);
    let fifth = run.due / 5;
    assert!(run.failures[&Failure::Garbage].abs_diff(2 * fifth) <= 2, "{}", run.table());
    assert!(run.failures[&Failure::Cut].abs_diff(2 * fifth) <= 2, "{}", run.table());
    assert!(run.with_status(200).abs_diff(fifth) <= 1, "{}", run.table());
    let text = run.table().to_string();
    assert!(text.contains("garbage") && text.contains("connection cut"), "{text}");
}

#[test]
fn a_service_that_never_answers_times_out() {
    let run =
        load(|_| (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot nine".to_vec(), false), |load| load.timeout(0.3));
    add_up(&run);
    assert_eq!(run.failures[&Failure::Timeout], run.due, "{}", run.table());
    assert_eq!(run.goodput_per_second(), 0.0);
}

#[test]
fn a_service_that_goes_away_leaves_requests_without_a_connection() {
    let service = Raw::start(|_| (proper("200 OK", ""), true));
    let load = Load::new(&service.address).rate(200.0).seconds(1.0).warm_up_seconds(0.0).timeout(5.0);
    let stop = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(400));
        drop(service);
    });
    let run = load.run().unwrap();
    stop.join().unwrap();
    add_up(&run);
    assert!(run.failures[&Failure::Connect] > 20 && run.with_status(200) > 20, "{}", run.table());
}

#[test]
fn only_when_asked_are_requests_tried_again_and_then_none_fails() {
    // Two of five tries fail; that all 13 of one of 200 requests do happens once in 1,000 runs of this test.
    let moody = |request: usize| match request % 5 {
        0 => (Vec::new(), true),
        1 => (proper("503 Service Unavailable", ""), false),
        _ => (proper("200 OK", ""), false),
    };
    let run = load(moody, |load| load);
    assert!(run.failed() > run.due / 4 && run.retried == 0, "{}", run.table());
    let run = load(moody, |load| load.retries(12));
    assert_eq!(run.with_status(200), run.due, "{}", run.table());
    assert!(run.retried > run.due / 3, "{}", run.table());
}
