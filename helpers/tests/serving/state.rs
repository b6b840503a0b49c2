//! The stores of sessions as processes: over HTTP, killed, and started again.

use std::io::{Read, Write};
use std::net::TcpStream;

use onramp::prelude::*;

use super::complaint;
use super::support::{ask, get, send_raw};
use crate::again::with_small_disk;

fn kept(address: &str, key: &str) -> (u16, Vec<u8>) {
    let answer = get(address, &format!("/state/{key}"));
    (answer.status, answer.body)
}

fn put(address: &str, key: &str, headers: &[(&str, &str)], value: &[u8]) -> u16 {
    ask(address, "PUT", &format!("/state/{key}"), headers, value).status
}

#[test]
fn a_state_server_answers_over_http() {
    let store = StateServer::new().start().unwrap();
    let address = store.address();
    assert_eq!(kept(address, "one").0, 404);
    assert_eq!(put(address, "one", &[], b"\0first\xff"), 204);
    let answer = get(address, "/state/one");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0first\xff"[..]));
    let tag = answer.header("etag").unwrap();
    // A change on condition: of no value, of this one, of another one.
    let conditional = |header: &str, condition: &str, value: &[u8]| put(address, "one", &[(header, condition)], value);
    assert_eq!(conditional("if-none-match", "*", b"new"), 412);
    assert_eq!(conditional("if-match", &tag, b"second"), 204);
    assert_eq!(conditional("if-match", &tag, b"third"), 412);
    assert_eq!(conditional("if-match", "nonsense", b"third"), 400);
    assert_eq!(kept(address, "one"), (200, b"second".to_vec()));
    assert_eq!(get(address, "/health").status, 200);
    assert_eq!(get(address, "/ready").status, 200);
}

#[test]
fn a_state_server_refuses_what_it_can_not_keep_and_lives_on() {
    let store = StateServer::new().start().unwrap();
    let address = store.address();
    assert_eq!(put(address, "long", &[], &[0; 64 << 10]), 204);
    let refused = [
        (ask(address, "PUT", "/state/long", &[], &[0; (64 << 10) + 1]), 413, "65536"),
        (ask(address, "PUT", &format!("/state/{}", "x".repeat(129)), &[], b"1"), 400, "129 bytes"),
        (get(address, "/state/a%00b"), 400, "control character"),
        (get(address, "/state/%ff"), 400, "name"),
        (get(address, "/state/"), 404, "/state/"),
        (ask(address, "DELETE", "/state/long", &[], b""), 405, "DELETE"),
        (get(address, "/elsewhere"), 404, "/elsewhere"),
    ];
    for (answer, status, part) in refused {
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(part) && text.contains("request_id"), "{text}");
    }
    assert_eq!(send_raw(address, b"nonsense\r\n\r\n").status, 400);
    assert_eq!(kept(address, "long"), (200, vec![0; 64 << 10]));
}

#[test]
fn what_was_answered_outlives_a_killed_state_server_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = StateServer::new().path(folder.path().join("sessions.redb"));
    let mut store = server.start().unwrap();
    let address = store.address().to_string();
    for number in 0..20 {
        assert_eq!(put(&address, &format!("session-{number}"), &[], number.to_string().as_bytes()), 204);
    }
    store.kill().unwrap();
    assert!(TcpStream::connect(&address).is_err());
    let again = server.clone().listen(&*address).start().unwrap();
    assert_eq!(again.address(), address);
    for number in 0..20 {
        assert_eq!(kept(&address, &format!("session-{number}")), (200, number.to_string().into_bytes()));
    }
    // Two processes can't have one file.
    let refused = complaint(server.start());
    assert!(refused.contains("sessions.redb") && refused.contains("another process"), "{refused}");
}

#[test]
fn after_a_full_disk_a_state_server_goes_on() {
    with_small_disk("serving::state::after_a_full_disk_a_state_server_goes_on", 12, |disk| {
        let ballast = disk.join("ballast");
        std::fs::write(&ballast, vec![1; 6 << 20]).unwrap();
        let mut store = StateServer::new().path(disk.join("sessions.redb")).start().unwrap();
        let address = store.address().to_string();
        let value = |number: usize| vec![number as u8; 60_000];
        let status = |number: usize| put(&address, &format!("session-{number}"), &[], &value(number));
        let full = (0..200).find(|number| status(*number) != 204).expect("the disk was never full");
        // It says why, and does not end.
        let answer = ask(&address, "PUT", "/state/one-more", &[], &value(full));
        assert!(answer.status == 503 && answer.text().contains("sessions"), "{}", answer.text());
        assert_eq!(get(&address, "/health").status, 200);
        std::fs::remove_file(&ballast).unwrap();
        assert_eq!(status(full), 204);
        assert_eq!(get(&address, "/ready").status, 200);
        let all_there =
            || (0..=full).all(|number| kept(&address, &format!("session-{number}")) == (200, value(number)));
        assert!(full > 0 && all_there());
        store.kill().unwrap();
        let _again = StateServer::new().path(disk.join("sessions.redb")).listen(&*address).start().unwrap();
        assert!(all_there());
    });
}

#[test]
fn a_state_server_that_others_reach_needs_a_token() {
    let refused = complaint(StateServer::new().listen("0.0.0.0:0").start());
    assert!(refused.contains("token"), "{refused}");
    let store = StateServer::new().token("a secret").start().unwrap();
    let address = store.address();
    assert_eq!(put(address, "one", &[], b"1"), 401);
    assert_eq!(put(address, "one", &[("authorization", "Bearer wrong")], b"1"), 401);
    assert_eq!(put(address, "one", &[("authorization", "Bearer a secret")], b"1"), 204);
    assert_eq!(get(address, "/health").status, 200);
}

#[test]
fn an_embedded_store_says_so_and_comes_back_empty_at_its_address() {
    let mut store = SharedStore::embedded().unwrap();
    let shown = store.to_string();
    assert!(shown.contains("embedded") && !store.is_redis(), "{shown}");
    let address = shown.split(" at ").nth(1).unwrap().split(',').next().unwrap().to_string();
    assert_eq!(put(&address, "one", &[], b"1"), 204);
    let before = store.state();
    store.kill().unwrap();
    assert!(TcpStream::connect(&address).is_err());
    store.restart().unwrap();
    assert_eq!(store.state(), before);
    assert_eq!(kept(&address, "one").0, 404);
}

/// Sends a line to a Redis and reads its answer's first line.
fn redis(url: &str, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(url.strip_prefix("redis://").unwrap())?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_string())
}

#[test]
fn a_redis_of_ones_own_is_started_killed_and_started_again() {
    if LocalRedis::installed().is_none() {
        eprintln!("redis-server is not installed: what needs it was not tested");
        let refused = complaint(LocalRedis::start());
        assert!(refused.contains("apt install redis-server"), "{refused}");
        return;
    }
    let mut own = LocalRedis::start().unwrap();
    let (url, process) = (own.url(), own.process_id());
    assert_eq!(redis(&url, "SET key value").unwrap(), "+OK");
    // It is found by its URL as well, and then it is not ours to kill.
    let mut given = SharedStore::redis(&*url).unwrap();
    assert!(given.to_string().contains("running before"), "{given}");
    assert!(complaint(given.kill()).contains("others may need it"));
    own.kill().unwrap();
    assert!(redis(&url, "PING").is_err());
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
    assert!(complaint(SharedStore::redis(&*url)).contains("did not"));
    own.restart().unwrap();
    assert_eq!(redis(&url, "GET key").unwrap(), "$-1");
    let process = own.process_id();
    drop(own);
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
}

#[test]
fn with_plain_hashing_a_killed_replica_takes_its_share_of_the_sessions() {
    let sessions: Vec<String> = (0..1_000).map(|number| format!("session-{number}")).collect();
    let lost: Vec<usize> = (0..4).map(|killed| lost_sessions(&sessions, 4, killed).unwrap().len()).collect();
    assert_eq!(lost.iter().sum::<usize>(), 1_000);
    assert!(lost.iter().all(|lost| (200..=300).contains(lost)), "{lost:?}");
    // The first 8 bytes of SHA-256("session-0"), computed by Python's hashlib, modulo 4 and 7.
    assert_eq!((owner_of_session("session-0", 4).unwrap(), owner_of_session("session-0", 7).unwrap()), (1, 2));
    assert!(owner_of_session("session-0", 0).is_err());
    assert!(complaint(lost_sessions(&sessions, 4, 4)).contains("counted from 0"));
}
