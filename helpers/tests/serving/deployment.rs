//! Replicas come, go and die behind a balancer, and the clients notice as little as can be.

use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use onramp::prelude::*;
use onramp::serving::BackendState;

use super::backends::{Seen, load, wait_for_more, wait_until, with_each_program};
use super::complaint;

const ROWS: &str = r#"{"rows": [[0.5, 0.25]]}"#;
const CLIENTS: usize = 8;

fn deployment(program: Program) -> Deployment {
    Deployment::new(Server::timed(ServiceTime::constant(0.004))).with(program)
}

fn failed(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| !seen.is_well()).collect()
}

#[test]
fn of_a_killed_replica_only_what_it_had_under_way_fails() {
    with_each_program(|program| {
        for policy in [Policy::RoundRobin, Policy::LeastConnections] {
            let mut running = deployment(program).replicas(4).policy(policy).start().unwrap();
            let address = running.address().to_string();
            let (seen, killed) = load(&address, CLIENTS, "POST /predict", ROWS, |answered| {
                wait_for_more(answered, 100);
                running.kill(1).unwrap();
                let killed = Instant::now();
                wait_for_more(answered, 200);
                killed
            });
            let failed = failed(&seen);
            assert!(failed.len() < CLIENTS, "{program}: {} of {} failed", failed.len(), seen.len());
            for seen in failed {
                assert!(seen.started < killed, "{program}: a request that began after it was dead failed: {seen:?}");
                let answer = seen.answer.as_ref().expect("the client gets an answer");
                assert_eq!(answer.status(), 502, "{}", answer.text());
                assert!(answer.error().contains("backend-1"), "{}", answer.error());
            }
        }
    });
}

#[test]
fn with_retries_nothing_fails_and_a_restarted_replica_takes_its_share() {
    with_each_program(|program| {
        for policy in [Policy::RoundRobin, Policy::LeastConnections, Policy::consistent_hash("x-key")] {
            let mut running =
                deployment(program).replicas(3).policy(policy.clone()).retry_idempotent(true).start().unwrap();
            let address = running.address().to_string();
            let (seen, ()) = load(&address, CLIENTS, "POST /predict", ROWS, |answered| {
                wait_for_more(answered, 60);
                running.kill(1).unwrap();
                wait_for_more(answered, 60);
                running.kill(2).unwrap();
                wait_for_more(answered, 60);
                running.restart(1).unwrap();
                wait_until("it is up again", || running.load().unwrap().backends[1].state == BackendState::Up);
                let before = running.requests_per_replica().unwrap();
                wait_for_more(answered, 60);
                let after = running.requests_per_replica().unwrap();
                assert!(after[1] > before[1] + 10, "{program} by {policy}: {before:?}, {after:?}");
            });
            let failed = failed(&seen);
            assert!(failed.is_empty(), "{program} by {policy}: {} of {}, {:?}", failed.len(), seen.len(), failed[0]);
        }
    });
}

#[test]
fn replicas_are_added_removed_and_replaced_under_load_without_a_lost_request() {
    with_each_program(|program| {
        let mut running = deployment(program).start().unwrap();
        let address = running.address().to_string();
        // Sessions may not be done twice, so nothing is retried; they are unknown there, which is an answer as well.
        let (seen, ()) = load(&address, CLIENTS, "POST /predict", ROWS, |answered| {
            assert_eq!(running.add_replica().unwrap(), 1);
            assert_eq!(running.add_replica().unwrap(), 2);
            wait_for_more(answered, 60);
            assert!(running.requests_per_replica().unwrap().iter().all(|requests| *requests > 5));
            running.restart(0).unwrap();
            wait_for_more(answered, 60);
            running.remove_replica().unwrap();
            wait_for_more(answered, 60);
            assert_eq!(running.requests_per_replica().unwrap().len(), 2);
        });
        let failed = failed(&seen);
        assert!(failed.is_empty(), "{program}: {} of {}, {:?}", failed.len(), seen.len(), failed[0]);
        assert_eq!(running.replicas(), 2);
        let table = running.table().unwrap().to_string();
        assert!(table.contains(&program.to_string()), "{table}");
    });
}

#[test]
fn wrong_descriptions_and_numbers_are_refused() {
    let one = || Deployment::new(Server::timed(ServiceTime::constant(0.001)));
    assert!(complaint(one().replicas(0).start()).contains("0 replicas"));
    assert!(complaint(one().policy(Policy::sticky("x y")).start()).contains("'x y'"));
    let mut running = one().start().unwrap();
    assert!(complaint(running.kill(3)).contains("no replica 3; there are 1"));
    assert!(complaint(running.restart(1)).contains("no replica 1"));
    assert!(complaint(running.remove_replica()).contains("the last replica"));
}

#[test]
fn a_replica_that_does_not_start_is_named_and_the_others_end() {
    // The port is free for the first replica alone.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Server::timed(ServiceTime::constant(0.001)).listen(&free);
    let text = complaint(Deployment::new(server).replicas(2).start());
    assert!(text.contains("replica 1 did not start") && text.contains(&free), "{text}");
    TcpListener::bind(&free).expect("the first replica has ended");
}

#[test]
fn everything_ends_with_the_deployment() {
    with_each_program(|program| {
        let mut running = deployment(program).replicas(2).start().unwrap();
        let processes = [
            running.balancer().process_id(),
            running.replica(0).unwrap().process_id(),
            running.replica(1).unwrap().process_id(),
        ];
        let is_alive = |process: &u32| Path::new(&format!("/proc/{process}")).exists();
        assert!(processes.iter().all(is_alive));
        drop(running);
        assert!(!processes.iter().any(is_alive));
    });
}
