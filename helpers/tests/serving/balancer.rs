//! Balancers choose the backends that their policy says, and follow as backends come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use onramp::prelude::*;
use onramp::serving::{BackendState, RunningBalancer};

use super::backends::{Backend, Connection, Manner, ask, load, wait_for_more, wait_until, who, with_each_program};
use super::complaint;

/// So many backends, each of which answers with its number.
fn backends(count: usize) -> Vec<Backend> {
    (0..count).map(|number| Backend::start(&number.to_string())).collect()
}

pub fn addresses(backends: &[Backend]) -> Vec<String> {
    backends.iter().map(|backend| backend.address.clone()).collect()
}

/// Waits until so many backends are up.
pub fn wait_for_up(balancer: &RunningBalancer, count: usize) {
    let up = || balancer.load().unwrap().backends.iter().filter(|backend| backend.state == BackendState::Up).count();
    wait_until("so many backends are up", || up() == count);
}

#[test]
fn round_robin_is_even_and_counted_so() {
    with_each_program(|program| {
        let backends = backends(3);
        let balancer = Balancer::new(addresses(&backends)).with(program).start().unwrap();
        wait_for_up(&balancer, 3);
        for _ in 0..60 {
            who(balancer.address(), &[]);
        }
        let load = balancer.load().unwrap();
        assert!(load.requests().iter().all(|requests| (19..=21).contains(requests)), "{load:?}");
        assert!(load.max_over_mean() < 1.06, "{load:?}");
        let received: Vec<u64> = backends.iter().map(|backend| backend.requests() as u64).collect();
        assert_eq!(load.requests(), received);
        let table = balancer.table().unwrap().to_string();
        assert!(table.contains(&program.to_string()) && table.contains(&backends[0].address), "{table}");
    });
}

#[test]
fn least_connections_leave_the_slow_backend_alone() {
    with_each_program(|program| {
        let slow = Backend::with("slow", Manner::Name(Duration::from_millis(60)));
        let fast = Backend::with("fast", Manner::Name(Duration::from_millis(3)));
        let policy = Policy::LeastConnections;
        let addresses = [slow.address.as_str(), &fast.address];
        let balancer = Balancer::new(addresses).policy(policy).with(program).start().unwrap();
        wait_for_up(&balancer, 2);
        let (seen, ()) = load(balancer.address(), 6, "POST /predict", "{}", |answered| wait_for_more(answered, 150));
        assert!(seen.iter().all(|seen| seen.is_well()));
        let load = balancer.load().unwrap();
        let requests = load.requests();
        // By turns each would get half of them.
        assert!(requests[1] > 3 * requests[0], "{load:?}");
        assert!(load.max_over_mean() > 1.5, "{load:?}");
    });
}

#[test]
fn a_consistent_hash_moves_only_the_keys_of_the_backend_that_went() {
    with_each_program(|program| {
        let mut backends = backends(4);
        let addresses = addresses(&backends);
        let policy = Policy::consistent_hash("x-key");
        let balancer = Balancer::new(addresses.clone()).policy(policy).with(program).start().unwrap();
        wait_for_up(&balancer, 4);
        let keys: Vec<String> = (0..300).map(|key| format!("session-{key}")).collect();
        let owners = || -> BTreeMap<&str, String> {
            let mut connection = Connection::new(balancer.address());
            let mut owner = |key: &str| connection.ask("GET /", &[("x-key", key)], b"").unwrap().text();
            keys.iter().map(|key| (key.as_str(), owner(key))).collect()
        };
        let before = owners();
        assert_eq!(owners(), before, "a key always has the same owner");
        let share = |name: &str| before.values().filter(|owner| *owner == name).count();
        let shares: Vec<usize> = ["0", "1", "2", "3"].map(share).to_vec();
        assert!(shares.iter().all(|share| (30..=130).contains(share)), "{shares:?} of 300 keys");

        drop(backends.remove(1));
        wait_for_up(&balancer, 3);
        let without = owners();
        let moved: Vec<&str> = keys.iter().map(String::as_str).filter(|key| without[key] != before[key]).collect();
        assert!(moved.iter().all(|key| before[key] == "1"), "only its own keys move");
        assert_eq!(moved.len(), shares[1]);
        // They are spread over the others and do not all go to one.
        let heirs: std::collections::BTreeSet<&str> = moved.iter().map(|key| without[key].as_str()).collect();
        assert_eq!(heirs.len(), 3);

        let _back = Backend::at(&addresses[1], "1", Manner::Name(Duration::ZERO));
        wait_for_up(&balancer, 4);
        assert_eq!(owners(), before, "they come back with it");
    });
}

#[test]
fn sessions_stay_where_they_began_and_move_when_their_backend_goes() {
    with_each_program(|program| {
        for by_cookie in [false, true] {
            let mut backends = backends(3);
            let addresses = addresses(&backends);
            let policy = if by_cookie { Policy::sticky_cookie("session") } else { Policy::sticky("x-session") };
            let balancer = Balancer::new(addresses.clone()).policy(policy).with(program).start().unwrap();
            wait_for_up(&balancer, 3);
            let place = |session: &str| {
                let cookie = format!("colour=blue; session={session}");
                let header = if by_cookie { ("cookie", cookie.as_str()) } else { ("x-session", session) };
                who(balancer.address(), &[header])
            };
            let sessions: Vec<String> = (0..12).map(|session| format!("s{session}")).collect();
            let places = || -> Vec<String> { sessions.iter().map(|session| place(session)).collect() };
            let before = places();
            for name in ["0", "1", "2"] {
                assert_eq!(before.iter().filter(|place| *place == name).count(), 4, "new ones go by turns: {before:?}");
            }
            assert_eq!(places(), before);

            drop(backends.remove(0));
            wait_for_up(&balancer, 2);
            let after = places();
            for (before, after) in before.iter().zip(&after) {
                assert!(before == after || before == "0", "a session moved from {before} to {after}");
                assert_ne!(after, "0");
            }
            let _back = Backend::at(&addresses[0], "0", Manner::Name(Duration::ZERO));
            wait_for_up(&balancer, 3);
            assert_eq!(places(), after, "a session that moved stays");
        }
    });
}

#[test]
fn a_request_that_reached_nobody_is_sent_to_another() {
    with_each_program(|program| {
        let alive = Backend::start("alive");
        // Nothing listens there, and it may take a while until the checks have found out.
        let balancer = Balancer::new(["127.0.0.1:9", &alive.address]).with(program).start().unwrap();
        for _ in 0..20 {
            let answer = ask(balancer.address(), "POST /session/1", &[], b"{}");
            assert_eq!(answer.text(), "alive");
        }
    });
}

#[test]
fn a_backend_that_ends_gets_no_requests_and_comes_back() {
    with_each_program(|program| {
        let mut backends = backends(2);
        let addresses = addresses(&backends);
        let balancer = Balancer::new(addresses.clone()).with(program).start().unwrap();
        wait_for_up(&balancer, 2);
        drop(backends.remove(0));
        wait_for_up(&balancer, 1);
        for _ in 0..10 {
            assert_eq!(who(balancer.address(), &[]), "1");
        }
        let _back = Backend::at(&addresses[0], "0", Manner::Name(Duration::ZERO));
        wait_for_up(&balancer, 2);
        let names: Vec<String> = (0..4).map(|_| who(balancer.address(), &[])).collect();
        assert!(names.contains(&"0".to_string()), "{names:?}");
    });
}

#[test]
fn backends_are_added_and_removed_under_load_without_a_lost_request() {
    with_each_program(|program| {
        for policy in [Policy::RoundRobin, Policy::LeastConnections] {
            let backends: Vec<Backend> = (0..5)
                .map(|number| Backend::with(&number.to_string(), Manner::Name(Duration::from_millis(2))))
                .collect();
            let addresses = addresses(&backends);
            let mut balancer = Balancer::new(&addresses[..1]).policy(policy).with(program).start().unwrap();
            let address = balancer.address().to_string();
            let (seen, ()) = load(&address, 6, "POST /train", "{}", |answered| {
                for (number, address) in addresses.iter().enumerate().skip(1) {
                    assert_eq!(balancer.add_backend(address).unwrap(), number);
                    wait_for_more(answered, 40);
                }
                for number in 0..4 {
                    balancer.remove_backend(number).unwrap();
                    let before = backends[number].requests();
                    wait_for_more(answered, 40);
                    assert_eq!(backends[number].requests(), before, "it is gone");
                }
                // The lowest free number.
                assert_eq!(balancer.add_backend(&addresses[2]).unwrap(), 0);
                wait_for_more(answered, 40);
            });
            let lost: Vec<_> = seen.iter().filter(|seen| !seen.is_well()).collect();
            assert!(lost.is_empty(), "{program}: {} of {} requests: {:?}", lost.len(), seen.len(), lost[0]);
            assert!(backends.iter().all(|backend| backend.requests() > 0));
            let numbers: Vec<usize> = balancer.load().unwrap().backends.iter().map(|backend| backend.number).collect();
            assert_eq!(numbers, [0, 4]);
        }
    });
}

#[test]
fn a_backend_that_moves_is_found_at_its_new_address() {
    with_each_program(|program| {
        let (old, new) = (Backend::start("old"), Backend::start("new"));
        let mut balancer = Balancer::new([&old.address]).with(program).start().unwrap();
        assert_eq!(who(balancer.address(), &[]), "old");
        balancer.drain(0).unwrap();
        assert_eq!(balancer.load().unwrap().backends[0].state, BackendState::Draining);
        balancer.resume(0, &new.address).unwrap();
        assert_eq!(who(balancer.address(), &[]), "new");
        assert_eq!(balancer.load().unwrap().requests(), [2]);
    });
}

#[test]
fn status_headers_and_body_are_passed_on() {
    with_each_program(|program| {
        let backend = Backend::start("0");
        let balancer = Balancer::new([&backend.address]).with(program).start().unwrap();
        let body: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
        let answer = ask(balancer.address(), "POST /echo", &[("x-echo", "as it is"), ("x-request-id", "mine")], &body);
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.header("x-echo"), Some("as it is"));
        assert_eq!(answer.header("x-backend"), Some("backend-0"));
        assert!(answer.body == body, "the body changed");
    });
}

#[test]
fn only_so_many_requests_are_at_a_backend_and_wait() {
    with_each_program(|program| {
        for policy in [Policy::RoundRobin, Policy::LeastConnections] {
            let backends =
                [0, 1].map(|number| Backend::with(&number.to_string(), Manner::Name(Duration::from_millis(5))));
            let balancer = Balancer::new(addresses(&backends)).policy(policy).connections_per_backend(1).with(program);
            let balancer = balancer.start().unwrap();
            wait_for_up(&balancer, 2);
            let (seen, ()) = load(balancer.address(), 8, "POST /predict", "{}", |answered| wait_for_more(answered, 60));
            assert!(seen.iter().all(|seen| seen.is_well()));
            let load = balancer.load().unwrap();
            assert!(load.backends.iter().all(|backend| backend.most_in_flight == 1), "{load:?}");
            let waited = load.most_waiting + load.backends.iter().map(|backend| backend.most_waiting).sum::<u64>();
            assert!((3..=12).contains(&waited), "6 of 8 wait: {load:?}");
        }
    });
}

#[test]
fn settings_that_cannot_be_are_refused_with_their_values() {
    let two = || Balancer::new(["127.0.0.1:9001", "127.0.0.1:9002"]);
    let health = |health: HealthCheck| two().health_check(health);
    let wrong = [
        (Balancer::new(["localhost"]), "'localhost' is no address"),
        (Balancer::new(["127.0.0.1:9001", "127.0.0.1:9001"]), "127.0.0.1:9001 is there twice"),
        (two().policy(Policy::consistent_hash("x key")), "'x key' is no name of a header"),
        (two().policy(Policy::sticky("")), "'' is no name of a header"),
        (two().policy(Policy::sticky_cookie("a)\n  evil")), "evil' is no name of a cookie"),
        (health(HealthCheck { path: "ready now".to_string(), ..HealthCheck::default() }), "'ready now' is no path"),
        (health(HealthCheck { interval_seconds: 0.0, ..HealthCheck::default() }), "every 0 s"),
        (health(HealthCheck { rise: 0, ..HealthCheck::default() }), "after 0 checks"),
        (two().answer_seconds(-1.0), "answer_seconds(-1)"),
        (two().queue_seconds(f64::NAN), "queue_seconds(NaN)"),
        (two().connections_per_backend(0), "connections_per_backend(0)"),
        (two().queue_bound(0), "queue_bound(0)"),
        (two().listen("here"), "'here' is no address"),
        (two().listen("0.0.0.0:0"), "needs a token"),
        (two().listen("0.0.0.0:0").token("a line\n"), "a token must be"),
    ];
    for (balancer, expected) in wrong {
        let text = complaint(balancer.start());
        assert!(text.contains(expected), "{text}");
    }
    let mut running = two().start().unwrap();
    assert!(complaint(running.add_backend("nowhere")).contains("'nowhere'"));
    assert!(complaint(running.add_backend("127.0.0.1:9002")).contains("already, as number 1"));
    assert!(complaint(running.remove_backend(7)).contains("no backend 7; there are 0, 1"));
}

#[test]
fn what_is_described_comes_back_from_json() {
    let balancer =
        Balancer::new(["127.0.0.1:9001"]).policy(Policy::sticky_cookie("s")).with(Program::Embedded).token("t");
    let text = serde_json::to_string(&balancer).unwrap();
    assert_eq!(serde_json::from_str::<Balancer>(&text).unwrap(), balancer);
}
