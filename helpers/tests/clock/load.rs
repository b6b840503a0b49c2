//! The load generator on services whose times are known.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use onramp::law::Queue;
use onramp::load::{AnswerClass, Capacity, Failure, Load, LoadRun};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;

use super::alone;
use super::queue::{Served, queue};
use super::services::{Raw, Service, proper};

/// Tries again where another program was on the cores.
fn in_a_few_tries(mut attempt: impl FnMut(u64) -> Result<(), String>) {
    let mut complaints = Vec::new();
    for seed in 0..5 {
        match attempt(seed) {
            Ok(()) => return,
            Err(complaint) => complaints.push(complaint),
        }
    }
    panic!("five times:\n{}", complaints.join("\n"));
}

fn demand(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint()) }
}

/// Lindley's recurrence for what the service has seen: mean seconds from arrival to end of the last `count` requests.
fn mean_sojourn(served: &[Served], count: usize) -> f64 {
    let mut free = 0.0_f64;
    let sojourns: Vec<f64> = served
        .iter()
        .map(|request| {
            free = free.max(request.came) + request.took;
            free - request.came
        })
        .collect();
    sojourns[sojourns.len() - count..].iter().sum::<f64>() / count as f64
}

/// The mean latency is that of the queue: of its own arrivals by Lindley's recurrence, and of the law within what 640
/// requests leave to chance.
fn agrees_with_the_queue(draw: fn(&mut ChaCha8Rng) -> f64, variation: f64) {
    in_a_few_tries(|seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed + 100);
        let (service, served) = queue(move || 0.003 * draw(&mut random));
        let load = Load::new(&service.address).rate(160.0).seconds(4.0).warm_up_seconds(0.5).seed(seed).emulated();
        let run = load.run().unwrap();
        demand(run.kept_up() && run.failed() == 0, || run.table().to_string())?;
        let served = served.lock().unwrap().clone();
        let lindley = mean_sojourn(&served, run.due as usize);
        let mean = run.mean().unwrap();
        demand(mean > 0.98 * lindley && mean < 1.05 * lindley + 0.7e-3, || {
            format!("mean {mean} s, by Lindley's recurrence {lindley} s")
        })?;
        let took: Vec<f64> = served.iter().map(|request| request.took).collect();
        let measured = Queue::measured(run.offered_per_second(), &took).unwrap();
        let asked = Queue::m_g_1(160.0, 0.003, variation).unwrap();
        for law in [measured, asked] {
            let ratio = mean / law.sojourn_seconds();
            demand((0.7..1.4).contains(&ratio), || format!("mean {mean} s, {law}: {} s", law.sojourn_seconds()))?;
        }
        let little = run.little().ratio();
        demand((0.85..1.15).contains(&little), || format!("L over lambda W: {little}"))
    });
}

#[test]
fn constant_service_times_give_the_latency_of_m_d_1() {
    let _alone = alone();
    agrees_with_the_queue(|_| 1.0, 0.0);
}

#[test]
fn exponential_service_times_give_the_latency_of_m_m_1() {
    let _alone = alone();
    agrees_with_the_queue(|random| random.sample(Exp1), 1.0);
}

/// A service that is still for half a second, once, 0.7 s after its first request.
fn stalling() -> Service {
    let first = Arc::new(std::sync::OnceLock::new());
    let stalled = Arc::new(std::sync::Once::new());
    Service::start(Router::new().fallback(async move || {
        let first = *first.get_or_init(Instant::now);
        if first.elapsed() > Duration::from_millis(700) {
            stalled.call_once(|| std::thread::sleep(Duration::from_millis(500)));
        }
    }))
}

#[test]
fn a_stall_is_seen_by_every_request_that_was_due_meanwhile() {
    let _alone = alone();
    // With one connection only one request is under way when the service stalls: a closed loop would see one slow answer.
    for connections in [1, 64] {
        in_a_few_tries(|_| {
            let service = stalling();
            let load = Load::new(&service.address).rate(200.0).constant().connections(connections);
            let run = load.seconds(2.0).warm_up_seconds(0.0).run().unwrap();
            demand(run.kept_up() && run.failed() == 0, || run.table().to_string())?;
            // Those due in the first 0.4 s of the stall waited for more than 0.1 s: 80 of 399.
            let slow = run.latencies_of(AnswerClass::Success).unwrap().share_above(0.1);
            demand((0.17..0.25).contains(&slow), || format!("a share of {slow} was slow, {}", run.table()))?;
            let longest = run.percentile(100.0).unwrap();
            demand((0.49..0.7).contains(&longest), || format!("longest {longest} s"))
        });
    }
}

#[test]
fn a_service_that_is_too_slow_is_blamed_itself() {
    let _alone = alone();
    in_a_few_tries(|_| {
        let (service, _) = queue(|| 0.005);
        // Twice what it can do. After t seconds the last in line waits t / 2 seconds.
        let load =
            Load::new(&service.address).rate(400.0).seconds(2.0).warm_up_seconds(0.0).connections(2_000).timeout(0.6);
        let run = load.run().unwrap();
        demand(run.kept_up(), || run.table().to_string())?;
        let answered = run.goodput_per_second();
        demand((120.0..205.0).contains(&answered), || format!("{answered} answers/s, {}", run.table()))?;
        let lost = run.failures.get(&Failure::Timeout).copied().unwrap_or(0);
        demand(lost > 50 && lost + run.with_status(200) == run.due, || run.table().to_string())?;
        let (first, last) = (&run.series[0], &run.series[1]);
        demand(last.in_flight > 1.2 * first.in_flight, || format!("{} and {}", first.in_flight, last.in_flight))
    });
}

/// What the generator and `wrk` load: a thread for each connection would cost more than the exchange.
fn trivial() -> Service {
    Service::start(Router::new().fallback(async || "ok"))
}

/// One second of a rate that is too high.
fn flooded(service: &Service, rate: f64) -> LoadRun {
    Load::new(&service.address).rate(rate).seconds(1.0).warm_up_seconds(0.0).connections(16).timeout(2.0).run().unwrap()
}

#[test]
fn a_generator_that_can_not_keep_up_gives_no_percentile_and_says_so() {
    let _alone = alone();
    let service = trivial();
    let run = flooded(&service, 5e6);
    assert!(!run.kept_up() && run.given_up > 0);
    let text = run.percentile(99.0).unwrap_err().to_string();
    assert!(text.contains("could not keep up") && text.contains("Use a lower rate"), "{text}");
    assert!(run.mean().is_err() && run.figure().is_err() && run.p99_figure().is_err());
    assert!(run.series.iter().all(|second| second.p99_seconds.is_none()));
    let table = run.table().to_string();
    assert!(table.contains("could not keep up") && !table.contains("p99, ms"), "{table}");
    // What was counted stands.
    assert!(run.goodput_per_second() > 1_000.0, "{table}");
}

#[test]
fn a_rate_within_reach_is_kept() {
    let _alone = alone();
    let service = trivial();
    in_a_few_tries(|_| {
        let run = Load::new(&service.address).rate(2_000.0).seconds(0.8).warm_up_seconds(0.2).run().unwrap();
        demand(run.kept_up() && run.failed() == 0, || run.table().to_string())?;
        let ratio = run.goodput_per_second() / run.offered_per_second();
        demand((0.97..1.03).contains(&ratio), || run.table().to_string())
    });
}

#[test]
fn the_generator_is_not_much_slower_than_wrk() {
    let _alone = alone();
    if Command::new("wrk").arg("-v").output().is_err() {
        eprintln!("skipped: wrk is not installed, so there is nothing to compare with (Debian: apt install wrk)");
        return;
    }
    let service = trivial();
    in_a_few_tries(|_| {
        let ours = flooded(&service, 150e3).answered_per_second();
        let url = format!("http://{}/", service.address);
        let output = Command::new("wrk").args(["-t1", "-c16", "-d1s", &url]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        let theirs: f64 = line.unwrap_or_else(|| panic!("{text}")).trim().parse().unwrap();
        eprintln!("{ours:.0} requests/s, wrk {theirs:.0}");
        // The same service limits both, so a factor of three between them would be a mistake of ours.
        demand((0.3..3.0).contains(&(ours / theirs)), || format!("{ours} requests/s, wrk {theirs}"))
    });
}

#[test]
fn the_capacity_of_a_queue_is_below_what_it_can_do_and_not_far() {
    let _alone = alone();
    in_a_few_tries(|_| {
        let (service, _) = queue(|| 0.001);
        let load = Load::new(&service.address).emulated();
        let run = Capacity::new(load, 0.0011).first_rate(700.0).seconds(1.0).resolution(0.45).run();
        let run = run.map_err(|error| error.to_string())?;
        let table = run.table().to_string();
        // M/D/1 has a p99 of ten service times at a load of about 0.8.
        demand((450.0..1_000.0).contains(&run.per_second), || table.clone())?;
        let failed = run.first_failed_per_second.ok_or_else(|| table.clone())?;
        demand(failed / run.per_second < 1.46 && !run.is_limited_by_generator(), || table.clone())?;
        demand(table.contains("two of three trials") && run.figure().is_ok(), || table.clone())
    });
}

#[test]
fn a_service_without_capacity_is_told() {
    let _alone = alone();
    let service = Raw::start(|_| (proper("500 Oh", ""), false));
    let load = Load::new(&service.address);
    let text = Capacity::new(load, 0.001).seconds(0.2).first_rate(64_000.0).run().unwrap_err().to_string();
    assert!(text.contains("has no capacity by this rule"), "{text}");
}
