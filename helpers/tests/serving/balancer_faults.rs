//! Whatever is wrong with a backend or a request, the client gets an answer that says so, and the others go on.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onramp::prelude::*;

use super::backends::{Backend, Manner, PATIENCE, ask, load, wait_for_more, wait_until, with_each_program};
use super::balancer::{addresses, wait_for_up};
use super::complaint;
use super::support::read_answer;
use crate::again::run_again_with;

#[test]
fn a_backend_that_answers_no_http_or_nothing_costs_a_502_and_nobody_else() {
    with_each_program(|program| {
        for manner in [Manner::Garbage, Manner::Close] {
            let backends = [Backend::start("good"), Backend::with("bad", manner)];
            let balancer = Balancer::new(addresses(&backends)).with(program).start().unwrap();
            wait_for_up(&balancer, 2);
            let answers: Vec<_> = (0..20).map(|_| ask(balancer.address(), "POST /predict", &[], b"{}")).collect();
            let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 200);
            assert!(good.len() >= 10 && !bad.is_empty(), "{program}: {} and {}", good.len(), bad.len());
            assert!(good.iter().all(|answer| answer.text() == "good"));
            for answer in bad {
                assert_eq!(answer.status(), 502);
                let error = answer.error();
                assert!(error.contains("backend-1") && error.contains("send the request again"), "{error}");
            }
            let failures = balancer.load().unwrap().backends[1].failures;
            assert!(failures >= 1, "{:?}", balancer.load());
        }
    });
}

#[test]
fn requests_that_may_be_done_twice_are_and_others_are_not() {
    with_each_program(|program| {
        for manner in [Manner::Garbage, Manner::Close] {
            let may_repeat = [
                ("POST /predict", vec![]),
                ("PUT /parameters", vec![]),
                ("GET /session", vec![]),
                ("POST /session/7", vec![("x-idempotent", "1")]),
            ];
            let backends = [Backend::start("good"), Backend::with("bad", manner)];
            let balancer = Balancer::new(addresses(&backends)).retry_idempotent(true).with(program).start().unwrap();
            for (line, headers) in may_repeat {
                for _ in 0..6 {
                    wait_for_up(&balancer, 2);
                    let answer = ask(balancer.address(), line, &headers, b"{}");
                    assert_eq!((answer.status(), answer.text().as_str()), (200, "good"), "{line} by {program}");
                }
            }
            assert!(backends[1].requests() > 0, "the bad one was never asked");
            // Sessions count; twice would be wrong.
            let bad = Backend::with("bad", manner);
            let balancer = Balancer::new([&bad.address]).retry_idempotent(true).with(program).start().unwrap();
            wait_for_up(&balancer, 1);
            let answer = ask(balancer.address(), "POST /session/7", &[], b"{}");
            assert_eq!(answer.status(), 502, "{}", answer.text());
            assert_eq!(bad.requests(), 1);
        }
    });
}

#[test]
fn without_a_backend_the_answer_is_503_and_says_why() {
    with_each_program(|program| {
        let mut balancer = Balancer::new(Vec::<String>::new()).with(program).start().unwrap();
        let answer = ask(balancer.address(), "POST /predict", &[("x-request-id", "a\"b")], b"{}");
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.header("x-request-id"), Some("a\"b"));
        assert!(answer.error().contains("no backend is up"), "{}", answer.error());

        let backend = Backend::start("0");
        balancer.add_backend(&backend.address).unwrap();
        assert_eq!(ask(balancer.address(), "POST /predict", &[], b"{}").status(), 200);
        drop(backend);
        wait_for_up(&balancer, 0);
        for _ in 0..3 {
            let answer = ask(balancer.address(), "POST /predict", &[], b"{}");
            assert_eq!(answer.status(), 503);
            let error = answer.error();
            assert!(error.contains("no backend"), "{error}");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    });
}

#[test]
fn too_slow_too_long_and_too_many_are_said_so() {
    with_each_program(|program| {
        let slow = Backend::with("slow", Manner::Name(Duration::from_millis(700)));
        let balancer = Balancer::new([&slow.address]).with(program).largest_body_bytes(1000);
        let late = balancer.clone().answer_seconds(0.2).start().unwrap();
        let answer = ask(late.address(), "POST /predict", &[], b"{}");
        assert_eq!(answer.status(), 504);
        assert!(answer.error().contains("backend-0 did not answer within 0.2 s"), "{}", answer.error());

        let answer = ask(late.address(), "POST /predict", &[], &[b' '; 1001]);
        assert_eq!(answer.status(), 413);
        assert!(answer.error().contains("more than 1000 bytes"), "{}", answer.error());

        // One is done, one waits and gives up.
        let busy = balancer.clone().connections_per_backend(1).queue_seconds(0.2).start().unwrap();
        let (seen, ()) = load(busy.address(), 2, "POST /predict", "{}", |answered| wait_for_more(answered, 3));
        let refused = seen.iter().filter_map(|seen| seen.answer.as_ref().ok()).find(|answer| answer.status() == 503);
        let error = refused.expect("one should have given up").error();
        assert!(error.contains("became free"), "{error}");

        let full = balancer.connections_per_backend(1).queue_bound(1).start().unwrap();
        let (seen, ()) = load(full.address(), 4, "POST /predict", "{}", |answered| wait_for_more(answered, 4));
        let refused = seen.iter().filter_map(|seen| seen.answer.as_ref().ok()).find(|answer| answer.status() == 503);
        let error = refused.expect("one should have been refused").error();
        assert!(error.contains("1 requests wait already"), "{error}");
    });
}

#[test]
fn a_token_is_asked_for() {
    with_each_program(|program| {
        let backend = Backend::start("0");
        let balancer = Balancer::new([&backend.address]).token("a$ecr\"t, and long").with(program).start().unwrap();
        for (headers, status) in [
            (vec![], 401),
            (vec![("authorization", "Bearer other")], 401),
            (vec![("authorization", "Bearer a$ecr\"t, and long")], 200),
        ] {
            let answer = ask(balancer.address(), "POST /predict", &headers, b"{}");
            assert_eq!(answer.status(), status, "{program}: {}", answer.text());
            if status == 401 {
                assert!(answer.error().contains("needs a token"), "{}", answer.error());
            }
        }
    });
}

#[test]
fn a_balancer_that_is_let_go_or_stopped_is_gone() {
    with_each_program(|program| {
        let backend = Backend::with("0", Manner::Name(Duration::from_millis(100)));
        let start = || Balancer::new([&backend.address]).with(program).start().unwrap();
        let balancer = start();
        let process = balancer.process_id();
        drop(balancer);
        assert!(!is_alive(process));

        // What is under way is finished.
        let balancer = start();
        let (process, address) = (balancer.process_id(), balancer.address().to_string());
        let client = std::thread::spawn(move || ask(&address, "POST /predict", &[], b"{}"));
        wait_until("the request is there", || backend.requests() == 1);
        balancer.stop().unwrap();
        assert_eq!(client.join().unwrap().text(), "0");
        assert!(!is_alive(process));
    });
}

#[test]
fn a_balancer_that_is_stopped_waits_for_the_rest_of_a_request() {
    with_each_program(|program| {
        let backend = Backend::start("0");
        let balancer = Balancer::new([&backend.address]).with(program).start().unwrap();
        wait_for_up(&balancer, 1);
        let mut stream = TcpStream::connect(balancer.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (first, rest) = (b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{", b"}");
        stream.write_all(first).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let stopped = std::thread::spawn(move || balancer.stop());
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(rest).unwrap();
        assert_eq!(read_answer(&mut stream).text(), "0", "{program}");
        stopped.join().unwrap().unwrap();
    });
}

fn is_alive(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// Tells a test to run as the program that is killed.
const CHILD: &str = "ONRAMP_BALANCER_CHILD";

#[test]
fn a_balancer_ends_with_the_process_that_started_it() {
    if let Ok(program) = std::env::var(CHILD) {
        let program = if program == "HAProxy" { Program::Haproxy } else { Program::Embedded };
        let balancer = Balancer::new(["127.0.0.1:9"]).with(program).start().unwrap();
        println!("process {}", balancer.process_id());
        std::thread::sleep(Duration::from_secs(30));
        return;
    }
    with_each_program(|program| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "serving::balancer_faults::a_balancer_ends_with_the_process_that_started_it",
            ])
            .env(CHILD, program.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let process = lines.into_iter().find_map(|line| line.split_once("process ")?.1.parse().ok()).unwrap();
        assert!(is_alive(process));
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("the balancer is gone", || !is_alive(process));
    });
}

/// Both backends are asked in turn, so both have to be well.
fn is_healthy(balancer: &RunningBalancer) {
    wait_for_up(balancer, 2);
    for _ in 0..4 {
        assert_eq!(ask(balancer.address(), "POST /predict", &[], b"{}").status(), 200);
    }
}

#[test]
fn more_than_a_thousand_connections_at_once_are_all_answered() {
    const CONNECTIONS: usize = 1_200;
    with_each_program(|program| {
        let backends = [Backend::start("0"), Backend::start("1")];
        // The backends have a thread for each connection.
        let balancer = Balancer::new(addresses(&backends)).connections_per_backend(32).queue_bound(CONNECTIONS);
        let balancer = balancer.queue_seconds(60.0).with(program).start().unwrap();
        wait_for_up(&balancer, 2);
        let mut open: Vec<TcpStream> =
            (0..CONNECTIONS).map(|_| TcpStream::connect(balancer.address()).unwrap()).collect();
        is_healthy(&balancer);
        for stream in &mut open {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
                .write_all(b"POST /predict HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap();
        }
        for (place, stream) in open.iter_mut().enumerate() {
            let answer = read_answer(stream);
            assert_eq!(answer.status, 200, "{program}, connection {place}: {}", answer.text());
        }
        assert!(backends.iter().all(|backend| backend.requests() > CONNECTIONS / 3));
        is_healthy(&balancer);
    });
}

#[test]
fn slow_senders_and_half_open_connections_lose_their_place() {
    // Nothing, a part of the headers, and a part of the body; none of them ever goes on.
    let starts = [
        &b""[..],
        b"POST /predict HTTP/1.1\r\nhost: he",
        b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-length: 99\r\n\r\n{\"rows\"",
    ];
    with_each_program(|program| {
        let backends = [Backend::start("0"), Backend::start("1")];
        let balancer = Balancer::new(addresses(&backends)).slowest_sender(0.5).with(program).start().unwrap();
        wait_for_up(&balancer, 2);
        let mut slow: Vec<TcpStream> = (0..60)
            .map(|place| {
                let mut stream = TcpStream::connect(balancer.address()).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(starts[place % 3]).unwrap();
                stream
            })
            .collect();
        let opened = Instant::now();
        is_healthy(&balancer);
        for (place, stream) in slow.iter_mut().enumerate() {
            let answer = read_answer(stream);
            let with_body = place % 3 == 2;
            // Before there are headers, nothing was asked.
            let closed = program == Program::Embedded && !with_body && answer.status == 0;
            assert!(closed || answer.status == 408, "{program}, start {}: {}", place % 3, answer.head);
            if with_body {
                assert!(answer.json()["error"].as_str().unwrap().contains("within 0.5 s"), "{}", answer.text());
            }
        }
        // Much patience with a busy machine, and yet less than the patience of those who read.
        assert!(opened.elapsed() < PATIENCE, "{program}: {:?}", opened.elapsed());
        assert_eq!(balancer.load().unwrap().requests().iter().sum::<u64>(), 4, "no half of a request goes on");
        is_healthy(&balancer);
    });
}

#[test]
fn without_haproxy_the_embedded_balancer_is_used() {
    const VARIABLE: &str = "ONRAMP_HAPROXY";
    if std::env::var_os(VARIABLE).is_none_or(|file| !file.is_empty()) {
        run_again_with("serving::balancer_faults::without_haproxy_the_embedded_balancer_is_used", VARIABLE, "");
        return;
    }
    let backends = [Backend::start("0"), Backend::start("1")];
    let balancer = Balancer::new(addresses(&backends));
    let running = balancer.start().unwrap();
    assert_eq!(running.program(), Program::Embedded);
    is_healthy(&running);
    let text = complaint(balancer.with(Program::Haproxy).start());
    assert!(text.contains("HAProxy is not installed") && text.contains("use the embedded balancer"), "{text}");
}
