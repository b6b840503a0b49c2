//! The rule on real processes.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use onramp::prelude::*;
use onramp::serving::BackendState;

use super::backends::{wait_until, with_each_program};
use super::complaint;
use super::support::predict;
use crate::again::{press_soon, with_stop_button};

/// Sends requests at a steady rate for as long as `goes_on` says, each in a thread of its own, and returns what each was
/// answered with.
fn load(address: impl Fn() -> String, requests_per_second: f64, mut goes_on: impl FnMut(Duration) -> bool) -> Vec<u16> {
    let (said, answers) = mpsc::channel();
    let start = Instant::now();
    for request in 0.. {
        let due = start + Duration::from_secs_f64(f64::from(request) / requests_per_second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if !goes_on(start.elapsed()) {
            break;
        }
        let (address, said) = (address(), said.clone());
        std::thread::spawn(move || said.send(predict(&address, "[[0]]").status).unwrap());
    }
    drop(said);
    answers.iter().collect()
}

fn server() -> Server {
    Server::timed(ServiceTime::constant(0.02)).queue_bound(10_000).deadline(30.0)
}

#[test]
fn replicas_come_with_the_load_and_go_with_it_and_no_request_is_lost() {
    // A replica manages 50 requests/s; each should have 25.
    let rule = HpaRule::new(25.0).times_scaled(0.04).stabilisation(1.5).between(1, 6);
    let replicas = ReplicaProcesses::new(server());
    let rotation = replicas.rotation();
    let autoscaler = Autoscaler::new(rule).start(replicas).unwrap();
    wait_until("a first replica", || rotation.next_address().is_some());
    let next = || rotation.next_address().expect("there is always a replica");
    let mut answers = load(next, 100.0, |passed| passed.as_secs_f64() < 4.0);
    answers.extend(load(next, 5.0, |passed| passed.as_secs_f64() < 3.0));
    wait_until("fewer replicas", || rotation.addresses().len() < 3);
    assert!(autoscaler.is_running());
    let run = autoscaler.stop().unwrap();
    assert!(answers.len() > 300, "{}", answers.len());
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert!(run.most_ready() >= 3, "{}", run.table());
    let ups = run.decisions.iter().filter(|decision| decision.replicas > decision.before).count();
    assert!(ups > 0 && ups < run.decisions.len(), "{}", run.table());
    assert!(run.seconds_to_ready().is_some());
    assert_eq!(run.reports, [], "nothing went wrong");
    assert!(run.table().to_string().contains("emulated") && run.figure().is_ok());
    assert!(rotation.addresses().is_empty(), "all replicas ended with the autoscaler");
}

#[test]
fn a_replica_that_does_not_start_is_tried_five_times_and_then_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut replicas = ReplicaProcesses::new(server().listen(&address)).pause_after_failure(0.02).unwrap();
    replicas.scale_to(1).unwrap();
    let mut text = String::new();
    wait_until("the end of all tries", || match replicas.ready() {
        Ok(ready) => {
            assert_eq!(ready, 0);
            false
        }
        Err(error) => {
            text = error.to_string();
            true
        }
    });
    assert!(text.contains("5 in a row did not start") && text.contains(&address), "{text}");
    let reports = replicas.reports();
    assert_eq!(reports.len(), 5, "{reports:?}");
    assert!(reports[0].contains("the next try is in 0.02 s") && reports[3].contains("0.16 s"), "{reports:?}");
    // Another number is another reason to try.
    drop(taken);
    replicas.scale_to(2).unwrap();
    wait_until("a replica where the port is free again", || replicas.ready().unwrap() == 1);
}

#[test]
fn a_replica_that_was_killed_is_reported_and_replaced() {
    let mut replicas = ReplicaProcesses::new(server());
    replicas.scale_to(1).unwrap();
    wait_until("a replica", || replicas.ready().unwrap() == 1);
    let first = replicas.process_ids()[0];
    std::process::Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    wait_until("another one", || replicas.ready().unwrap() == 1 && replicas.process_ids()[0] != first);
    let reports = replicas.reports();
    assert!(reports[0].contains("ended by itself"), "{reports:?}");
    assert_eq!(predict(&replicas.rotation().next_address().unwrap(), "[[0]]").status, 200);
    // One of some requests in some seconds.
    let metric = replicas.metric().unwrap().unwrap();
    assert!(metric > 0.0, "{metric}");
}

/// Replicas that are only numbers; each is ready as soon as it is asked for.
struct Counted {
    requests_per_second: f64,
    replicas: usize,
    orders: Vec<usize>,
    /// What the first look at them takes.
    first_look: Duration,
}

impl Counted {
    fn new(requests_per_second: f64, replicas: usize) -> Self {
        Self { requests_per_second, replicas, orders: Vec::new(), first_look: Duration::ZERO }
    }
}

impl Replicas for Counted {
    fn wanted(&self) -> usize {
        self.replicas
    }

    fn ready(&mut self) -> Result<usize, Error> {
        std::thread::sleep(std::mem::take(&mut self.first_look));
        Ok(self.replicas)
    }

    fn scale_to(&mut self, replicas: usize) -> Result<(), Error> {
        self.replicas = replicas;
        self.orders.push(replicas);
        Ok(())
    }

    fn metric(&mut self) -> Result<Option<f64>, Error> {
        Ok(Some(self.requests_per_second / self.replicas as f64))
    }
}

#[test]
fn anything_that_can_be_counted_can_be_scaled() {
    let mut replicas = Counted::new(70.0, 0);
    let rule = HpaRule::new(10.0).times_scaled(0.01);
    let run = Autoscaler::new(rule).run(&mut replicas, 0.7).unwrap();
    // 1, then at most 4 more, then 70 / 10.
    assert_eq!(replicas.orders, [1, 5, 7], "{}", run.table());
    assert_eq!(run.decisions.len(), 2);
    assert!(complaint(Autoscaler::new(rule).run(&mut replicas, 0.0)).contains("scaling for 0 s"));
    assert!(complaint(Autoscaler::new(HpaRule::new(0.0)).run(&mut replicas, 1.0)).contains("a target of 0"));
    assert!(complaint(Autoscaler::new(rule).replicas(500).run(&mut replicas, 1.0)).contains("500 replicas"));
    assert!(complaint(ReplicaProcesses::new(server()).cold_start(-1.0)).contains("a cold start of -1 s"));
}

#[test]
fn an_autoscaler_begins_with_the_replicas_that_there_are() {
    let rule = HpaRule::new(10.0).times_scaled(0.01);
    for (rule, orders) in [(rule, vec![3]), (rule.between(1, 2), vec![2]), (rule.between(5, 9), vec![5])] {
        let mut replicas = Counted::new(30.0, 3);
        Autoscaler::new(rule.stabilisation(60.0)).run(&mut replicas, 0.5).unwrap();
        assert_eq!(replicas.orders, orders);
    }
}

#[test]
fn samples_that_a_slow_look_made_impossible_are_left_out() {
    // A sample each 10 ms, but for the first ones.
    let rule = HpaRule::new(10.0).window(0.01);
    let mut replicas = Counted { first_look: Duration::from_millis(500), ..Counted::new(10.0, 1) };
    let run = Autoscaler::new(rule).run(&mut replicas, 0.6).unwrap();
    assert!(run.moments.len() <= 12, "{:?}", run.moments);
}

/// A deployment whose number of replicas the test can see while an autoscaler has it.
struct Watched {
    deployment: RunningDeployment,
    replicas: Arc<AtomicUsize>,
}

impl Replicas for Watched {
    fn wanted(&self) -> usize {
        self.deployment.wanted()
    }

    fn ready(&mut self) -> Result<usize, Error> {
        let ready = self.deployment.ready();
        self.replicas.store(self.deployment.replicas(), Ordering::SeqCst);
        ready
    }

    fn scale_to(&mut self, replicas: usize) -> Result<(), Error> {
        self.deployment.scale_to(replicas)
    }

    fn metric(&mut self) -> Result<Option<f64>, Error> {
        self.deployment.metric()
    }

    fn reports(&mut self) -> Vec<String> {
        self.deployment.reports()
    }

    fn provenance(&self) -> Provenance {
        self.deployment.provenance()
    }

    fn end(self) -> Result<(), Error> {
        self.deployment.end()
    }
}

#[test]
fn a_deployment_grows_and_shrinks_behind_its_balancer_and_no_request_fails() {
    with_each_program(|program| {
        let deployment = Deployment::new(server()).with(program).start().unwrap();
        let (address, replicas) = (deployment.address().to_string(), Arc::new(AtomicUsize::new(1)));
        let there = || replicas.load(Ordering::SeqCst);
        let rule = HpaRule::new(25.0).times_scaled(0.04).stabilisation(1.5).between(1, 4);
        let autoscaler = Autoscaler::new(rule).start(Watched { deployment, replicas: replicas.clone() }).unwrap();
        // Until there is another one, and a second more; then until only the first is left.
        let mut more = None;
        let mut answers = load(
            || address.clone(),
            60.0,
            |passed| {
                more = more.or((there() > 1).then_some(passed));
                assert!(passed.as_secs() < 30, "{program}: no replica was added");
                more.is_none_or(|since| passed < since + Duration::from_secs(1))
            },
        );
        answers.extend(load(
            || address.clone(),
            5.0,
            |passed| {
                assert!(passed.as_secs() < 30, "{program}: {} replicas stayed", there());
                there() > 1
            },
        ));
        assert!(autoscaler.is_running());
        let run = autoscaler.stop().unwrap();
        assert!(answers.iter().all(|status| *status == 200), "{program}: {answers:?}");
        assert!(run.most_ready() >= 2, "{}", run.table());
        assert_eq!(run.reports, [], "nothing went wrong");
        assert_eq!(run.provenance, Provenance::Emulated);
        assert_eq!(
            TcpStream::connect(&address).map_err(|error| error.kind()).err(),
            Some(ErrorKind::ConnectionRefused)
        );
    });
}

#[test]
fn a_deployment_replaces_a_replica_that_died_and_keeps_at_least_one() {
    with_each_program(|program| {
        let mut deployment = Deployment::new(server()).replicas(2).with(program).start().unwrap();
        wait_until("both are ready", || deployment.ready().unwrap() == 2);
        let first = deployment.replica(1).unwrap().process_id();
        deployment.kill(1).unwrap();
        wait_until("another one", || {
            deployment.ready().unwrap() == 2 && deployment.replica(1).unwrap().process_id() != first
        });
        let reports = deployment.reports();
        assert!(reports.len() == 1 && reports[0].contains("replica 1 at"), "{reports:?}");
        assert!(complaint(deployment.scale_to(0)).contains("at least 1"));
        deployment.scale_to(1).unwrap();
        wait_until("one less", || deployment.ready().unwrap() == 1 && deployment.replicas() == 1);
        assert_eq!(predict(deployment.address(), "[[0]]").status, 200);
    });
}

#[test]
fn a_replica_that_does_not_end_holds_nobody_up() {
    with_each_program(|program| {
        let mut deployment = Deployment::new(server()).replicas(2).with(program).start().unwrap();
        wait_until("both are ready", || deployment.ready().unwrap() == 2);
        let process = deployment.replica(1).unwrap().process_id().to_string();
        let signal = |name| std::process::Command::new("kill").args([name, process.as_str()]).status().unwrap();
        signal("-STOP");
        deployment.scale_to(1).unwrap();
        wait_until("one less", || deployment.ready().unwrap() == 1 && deployment.replicas() == 1);
        assert_eq!(predict(deployment.address(), "[[0]]").status, 200);
        signal("-CONT");
    });
}

#[test]
fn replicas_that_were_about_to_end_are_wanted_again_with_one_more() {
    with_each_program(|program| {
        let slow = Server::timed(ServiceTime::constant(50.0)).deadline(60.0);
        let mut deployment = Deployment::new(slow).replicas(2).with(program).start().unwrap();
        let up = |deployment: &RunningDeployment| {
            let backends = deployment.load().unwrap().backends;
            backends.iter().filter(|backend| backend.state == BackendState::Up).count()
        };
        wait_until("both are ready", || up(&deployment) == 2);
        for _ in 0..2 {
            let address = deployment.address().to_string();
            std::thread::spawn(move || predict(&address, "[[0]]"));
        }
        wait_until("each has a request", || deployment.load().unwrap().backends.iter().all(|one| one.in_flight == 1));
        deployment.scale_to(1).unwrap();
        assert_eq!(deployment.replicas(), 2, "{program}: one finishes what it has");
        assert_eq!(deployment.add_replica().unwrap(), 2);
        wait_until("all get requests", || up(&deployment) == 3);
    });
}

#[test]
fn stop_ends_an_autoscaler() {
    with_stop_button("serving::autoscaler::stop_ends_an_autoscaler", |button| {
        let counted = || Counted::new(70.0, 0);
        // A sample is due after some seconds, but Stop does not wait for it.
        let autoscaler = Autoscaler::new(HpaRule::new(10.0).times_scaled(60.0));
        let running = autoscaler.start(counted()).unwrap();
        let press = press_soon(button);
        let error = autoscaler.run(&mut counted(), 3_000.0).unwrap_err();
        press.join().unwrap();
        assert!(matches!(error, Error::Interrupted), "{error}");
        wait_until("the end of the other one", || !running.is_running());
        assert!(matches!(running.stop(), Err(Error::Interrupted)));
    });
}
