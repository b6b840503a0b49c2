//! Sessions of prediction servers: what is lost with a replica, what with a store, and how the servers bear it.

use std::time::{Duration, Instant};

use onramp::prelude::*;

use super::support::{Answer, ask, get, predict};

fn replica(state: &State) -> ServiceProcess {
    Server::timed(ServiceTime::constant(0.0)).state(state.clone()).start().unwrap()
}

fn visit(replica: &ServiceProcess, session: &str) -> Answer {
    ask(replica.address(), "POST", &format!("/session/{session}"), &[], b"")
}

fn count(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["count"].as_u64().unwrap()
}

#[test]
fn a_replica_that_dies_takes_the_sessions_in_its_memory_with_it() {
    let mut replicas: Vec<ServiceProcess> = (0..4).map(|_| replica(&State::memory())).collect();
    let sessions: Vec<String> = (0..40).map(|number| format!("session-{number}")).collect();
    let owner = |session: &str| owner_of_session(session, 4).unwrap();
    for session in &sessions {
        assert_eq!(count(&visit(&replicas[owner(session)], session)), 1);
    }
    replicas[2].kill().unwrap();
    replicas[2] = replica(&State::memory());
    let lost: Vec<String> =
        sessions.iter().filter(|session| count(&visit(&replicas[owner(session)], session)) == 1).cloned().collect();
    assert_eq!(lost, lost_sessions(&sessions, 4, 2).unwrap());
    assert!(!lost.is_empty() && lost.len() < sessions.len());
}

/// Nothing is lost with a replica; everything with the store, and the replicas say so, live on, and find it again.
fn the_store_becomes_what_must_not_fail(mut store: SharedStore) {
    let state = store.state().timeout(1.0);
    let (mut one, two) = (replica(&state), replica(&state));
    assert_eq!(count(&visit(&one, "shared")), 1);
    assert_eq!(count(&visit(&two, "shared")), 2);
    one.kill().unwrap();
    assert_eq!(count(&visit(&two, "shared")), 3);
    assert_eq!(get(two.address(), "/ready/sessions").status, 200);

    store.kill().unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        let answer = visit(&two, "shared");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.json()["error"].as_str().unwrap().contains("127.0.0.1:"), "{}", answer.text());
        // Its timeout, and much patience with a busy machine.
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }
    assert_eq!(get(two.address(), "/ready/sessions").status, 503);
    assert_eq!(get(two.address(), "/health").status, 200);
    assert_eq!(predict(two.address(), "[[1]]").status, 200);

    store.restart().unwrap();
    assert_eq!(count(&visit(&two, "shared")), 1);
    assert_eq!(get(two.address(), "/ready/sessions").status, 200);
}

#[test]
fn with_the_embedded_store_it_becomes_what_must_not_fail() {
    the_store_becomes_what_must_not_fail(SharedStore::embedded().unwrap());
}

#[test]
fn with_a_redis_it_becomes_what_must_not_fail() {
    if LocalRedis::installed().is_none() {
        eprintln!("redis-server is not installed: what needs it was not tested");
        return;
    }
    the_store_becomes_what_must_not_fail(SharedStore::local_redis().unwrap());
}

#[test]
fn a_session_with_an_impossible_name_is_refused() {
    let replica = replica(&State::memory());
    for (name, part) in [("a%0ab", "control character"), (&*"x".repeat(129), "129 bytes")] {
        let answer = visit(&replica, name);
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.json()["error"].as_str().unwrap().contains(part), "{}", answer.text());
    }
    assert_eq!(count(&visit(&replica, "a%2Fb")), 1);
}
