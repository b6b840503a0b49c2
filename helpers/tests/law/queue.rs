//! Lines: formulas against numbers from books, replays against formulas.

use onramp::Error;
use onramp::law::{BatchSeconds, PollaczekKhinchine, Queue, QueueReplay, fit};

use super::{close, exact_points};

#[test]
fn the_formulas_give_the_numbers_of_the_textbooks() {
    // M/M/1 at 80 %: L = rho / (1 - rho) = 4, W = L / lambda.
    let queue = Queue::m_m_1(8.0, 0.1).unwrap();
    assert!(close(queue.in_system(), 4.0, 1e-12) && close(queue.sojourn_seconds(), 0.5, 1e-12));
    assert!(close(queue.wait_seconds(), 0.4, 1e-12) && close(queue.wait_probability(), 0.8, 1e-12));
    // The time in the system is exponential with that mean: p50 = W ln 2.
    assert!(close(queue.sojourn_percentile(50.0).unwrap(), 0.5 * 2.0_f64.ln(), 1e-12));
    assert!(close(queue.sojourn_percentile(99.0).unwrap(), 0.5 * 100.0_f64.ln(), 1e-12));
    assert!(close(Queue::m_d_1(8.0, 0.1).unwrap().wait_seconds(), 0.2, 1e-12));
    // Erlang's C for 2 servers: 2 rho^2 / (1 + rho).
    let two = Queue::m_m_c(16.0, 0.1, 2).unwrap();
    assert!(close(two.wait_probability(), 2.0 * 0.64 / 1.8, 1e-12));
    // And for 10 servers at an offered load of 8 (published tables: 0.409).
    assert!(close(Queue::m_m_c(80.0, 0.1, 10).unwrap().wait_probability(), 0.4092, 1e-3));
    // Very many servers neither overflow nor lose their digits.
    let many = Queue::m_m_c(9_900.0, 1.0, 10_000).unwrap().wait_probability();
    assert!((0.0..1.0).contains(&many) && many > 0.1, "{many}");
    assert!(close(queue.little().ratio(), 1.0, 1e-12));
}

#[test]
fn beyond_the_capacity_the_line_grows() {
    let queue = Queue::m_m_1(150.0, 0.01).unwrap();
    assert_eq!((queue.wait_seconds(), queue.wait_probability()), (f64::INFINITY, 1.0));
    assert!(close(queue.backlog_per_second(), 50.0, 1e-12));
    assert_eq!(queue.sojourn_percentile(99.0).unwrap(), f64::INFINITY);
    assert!(queue.table().to_string().contains("grows by 50 requests in each second"));
    assert_eq!(Queue::m_m_1(50.0, 0.01).unwrap().backlog_per_second(), 0.0);
}

#[test]
fn queues_that_are_none_are_refused() {
    for queue in [
        Queue::m_m_1(0.0, 0.01),
        Queue::m_m_1(1.0, f64::NAN),
        Queue::m_g_1(1.0, 0.01, -1.0),
        Queue::m_m_c(1.0, 0.01, 0),
    ] {
        assert!(queue.unwrap_err().to_string().contains("make no queue"));
    }
    assert!(matches!(Queue::measured(1.0, &[0.1]), Err(Error::TooFewPoints(_))));
    let text = Queue::m_d_1(8.0, 0.1).unwrap().sojourn_percentile(99.0).unwrap_err().to_string();
    assert!(text.contains("M/D/1") && text.contains("QueueReplay"), "{text}");
    assert!(Queue::m_m_1(8.0, 0.1).unwrap().sojourn_percentile(100.0).is_err());
}

#[test]
fn a_million_replayed_requests_wait_as_the_formulas_say() {
    let exponential = || BatchSeconds::exponential(0.01).unwrap();
    for (load, margin) in [(0.5, 0.01), (0.8, 0.03), (0.95, 0.10)] {
        let rate = 100.0 * load;
        let run = QueueReplay::new(rate, exponential()).run().unwrap();
        let law = Queue::m_m_1(rate, 0.01).unwrap();
        assert!(close(run.mean_wait_seconds.median, law.wait_seconds(), margin), "{load}: {}", run.table());
        assert!(close(run.in_system, law.in_system(), margin), "{load}: {}", run.table());
        assert!(close(run.busy, load, 0.01));
        assert!(close(run.little().ratio(), 1.0, 0.01), "{:?}", run.little());
        for percent in [50.0, 99.0] {
            let seconds = run.percentile(percent).unwrap();
            assert!(close(seconds, law.sojourn_percentile(percent).unwrap(), 1.5 * margin), "{percent}: {seconds}");
        }
        let run = QueueReplay::new(rate, BatchSeconds::constant(0.01).unwrap()).run().unwrap();
        let law = Queue::m_d_1(rate, 0.01).unwrap();
        assert!(close(run.mean_wait_seconds.median, law.wait_seconds(), margin), "{load}: {}", run.table());
    }
}

#[test]
fn measured_times_wait_as_pollaczek_and_khinchine_say() {
    // Nine in ten take 1 ms and one takes 20 ms: a squared variation of 3.87.
    let samples: Vec<f64> = (0..100).map(|place| if place % 10 == 0 { 0.020 } else { 0.001 }).collect();
    let run = QueueReplay::new(200.0, BatchSeconds::measured([(1, samples.clone())]).unwrap()).run().unwrap();
    let law = Queue::measured(200.0, &samples).unwrap();
    assert!(close(run.mean_wait_seconds.median, law.wait_seconds(), 0.02), "{} {}", run.table(), law.table());
    // With what was really drawn it is closer yet than with what could have been.
    let drawn = run.law().unwrap();
    assert!(close(run.mean_wait_seconds.median, drawn.wait_seconds(), 0.02), "{} {}", run.table(), drawn.table());
    assert!(run.mean_wait_seconds.contains(law.wait_seconds()), "{}", run.table());
}

#[test]
fn several_servers_wait_as_erlang_says() {
    for servers in [2, 8] {
        let rate = 80.0 * servers as f64;
        let run = QueueReplay::new(rate, BatchSeconds::exponential(0.01).unwrap()).servers(servers).run().unwrap();
        let law = Queue::m_m_c(rate, 0.01, servers).unwrap();
        assert!(close(run.mean_wait_seconds.median, law.wait_seconds(), 0.04), "{servers}: {}", run.table());
        assert!(close(run.busy, 0.8, 0.01));
    }
}

#[test]
fn a_bounded_line_sheds_what_erlang_says() {
    // M/M/1 with room for 1 in service and 4 in line: blocked is (1 - rho) rho^5 / (1 - rho^6).
    let rho = 1.5_f64;
    let run = QueueReplay::new(100.0 * rho, BatchSeconds::exponential(0.01).unwrap()).queue_bound(4).run().unwrap();
    let blocked = (1.0 - rho) * rho.powi(5) / (1.0 - rho.powi(6));
    let shed = run.shed as f64 / run.came as f64;
    assert!(close(shed, blocked, 0.01), "{shed}, expected {blocked}");
    assert_eq!(run.came, 990_000);
    assert!(close(run.little().ratio(), 1.0, 0.01));
}

#[test]
fn past_a_load_of_one_the_backlog_grows_by_what_is_too_much() {
    let seconds = BatchSeconds::constant(0.01).unwrap();
    let replay = QueueReplay::new(140.0, seconds).requests(20_000).warm_up(0);
    for replay in [replay.clone(), replay.constant()] {
        let run = replay.run().unwrap();
        assert!(close(run.backlog_per_second(), 40.0, 0.05), "{}", run.backlog_per_second());
        assert!(run.figure().unwrap().to_string().contains("requests in the system"));
    }
}

#[test]
fn batches_are_full_under_load_and_alone_without() {
    // s(b) = 1 ms + 0.1 ms b: sublinear, so batches of 64 can do 8,650 requests/s, single ones 909.
    let table = || BatchSeconds::table([(1, 1.1e-3), (64, 7.4e-3)]).unwrap();
    let mean = |replay: QueueReplay| replay.requests(200_000).run().unwrap();
    let heavy = mean(QueueReplay::new(20_000.0, table()).batch_cap(64));
    assert!(heavy.batch_size > 63.9 && close(heavy.batch_seconds, 7.4e-3, 1e-3), "{}", heavy.table());
    let light = mean(QueueReplay::new(1.0, table()).batch_cap(64));
    assert!(light.batch_size < 1.01 && close(light.mean_sojourn_seconds.median, 1.1e-3, 0.01), "{}", light.table());
    // At 80 % of what single requests can do, taking what is there is no worse than one at a time.
    let single = mean(QueueReplay::new(727.0, table()));
    let taking = mean(QueueReplay::new(727.0, table()).batch_cap(64));
    assert!(taking.mean_sojourn_seconds.median < single.mean_sojourn_seconds.median);
    // At low load a wait only adds to the latency of the first of each batch, and so all of it to a lone request.
    let waiting = mean(QueueReplay::new(1.0, table()).batch_cap(64).batch_wait(5e-3));
    assert!(close(waiting.mean_sojourn_seconds.median, 6.1e-3, 0.02), "{}", waiting.table());
    // The wait is over when the batch is full.
    let full =
        mean(QueueReplay::new(1_000.0, BatchSeconds::constant(1e-4).unwrap()).constant().batch_cap(2).batch_wait(1.0));
    assert!(close(full.mean_wait_seconds.median, 0.5e-3, 0.01), "{}", full.table());
    assert!(full.law().unwrap_err().to_string().contains("leave out"));
}

#[test]
fn the_moments_of_a_log_can_be_replayed() {
    let log = onramp::data::RequestLog::new(5_000, onramp::data::Arrivals::Poisson { per_second: 50.0 });
    let moments = log.generate().unwrap().into_iter().map(|request| request.seconds);
    let run = QueueReplay::new(1.0, BatchSeconds::constant(0.01).unwrap()).moments(moments).run().unwrap();
    assert!(close(run.per_second(), 50.0, 0.1) && close(run.busy, 0.5, 0.1));
    assert_eq!(run, run.replay.run().unwrap());
    assert_ne!(run.sojourn, run.replay.clone().requests(3_000).run().unwrap().sojourn);
}

#[test]
fn replays_that_make_no_sense_are_refused() {
    let seconds = || BatchSeconds::constant(0.01).unwrap();
    let replay = || QueueReplay::new(10.0, seconds());
    for (replay, words) in [
        (QueueReplay::new(0.0, seconds()), "can't come 0 times a second"),
        (QueueReplay::new(f64::NAN, seconds()), "can't come NaN times"),
        (replay().requests(10), "10 requests of which 0"),
        (replay().requests(usize::MAX), "can't be replayed"),
        (replay().servers(0), "0 servers"),
        (replay().batch_cap(0), "batches of up to 0"),
        (replay().batch_wait(-1.0), "a wait of -1 s"),
        (replay().queue_bound(0), "Some(0)"),
        (replay().moments([3.0, 2.0]), "sort them"),
        (replay().moments([1.0; 50]).requests(60), "60 requests were asked for and 50 moments"),
    ] {
        let text = replay.run().unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    }
    assert!(BatchSeconds::table([]).is_err() && BatchSeconds::table([(0, 1.0)]).is_err());
    assert!(BatchSeconds::table([(2, 1.0), (2, 1.0)]).is_err() && BatchSeconds::constant(0.0).is_err());
    assert!(BatchSeconds::measured([(1, vec![1.0, -0.5])]).is_err());
}

#[test]
fn the_law_over_the_rate_gives_service_time_and_variation_back() {
    let rates = [10.0, 30.0, 50.0, 70.0, 80.0, 90.0];
    let points = exact_points(&rates, |rate| Queue::m_g_1(rate, 0.01, 2.5).unwrap().sojourn_seconds());
    let found = fit(&PollaczekKhinchine, &points).unwrap();
    assert!(close(found.parameter("s").unwrap().value, 0.01, 1e-4), "{found}");
    assert!(close(found.parameter("C^2").unwrap().value, 2.5, 1e-2), "{found}");
    assert!(close(found.derived("mu").unwrap().value, 100.0, 1e-4) && found.holds, "{found}");
}
