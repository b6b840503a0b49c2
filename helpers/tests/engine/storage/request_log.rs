//! Logs of requests: the laws of their arrivals and keys.

use onramp::data::{Arrivals, RequestLog};
use onramp::storage::{Layout, Scan, Store};

use super::folder;
use crate::engine::support::complaint;

#[test]
fn a_log_has_the_laws_that_were_asked_for_and_is_the_same_in_a_file() {
    let rate = 200.0;
    let log = RequestLog::new(150_000, Arrivals::Poisson { per_second: rate })
        .keys(1_000, 1.0)
        .features(2)
        .drift(70_000, 2.0);
    let requests = log.generate().unwrap();
    assert!(requests.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds));
    // Counts of a second: mean and variance agree for a Poisson process.
    let seconds = requests.last().unwrap().seconds.floor() as usize;
    let mut counts = vec![0.0; seconds];
    requests.iter().filter(|request| (request.seconds as usize) < seconds).for_each(|request| {
        counts[request.seconds as usize] += 1.0;
    });
    let mean = counts.iter().sum::<f64>() / seconds as f64;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (seconds - 1) as f64;
    assert!((mean / rate - 1.0).abs() < 0.02, "{mean} requests per second");
    assert!((variance / mean - 1.0).abs() < 0.25, "a variance of {variance}");
    // Zipf's law with 1,000 keys: the first has 1 / H(1000) of all, twice as many as the second.
    let of_key = |key: u32| requests.iter().filter(|request| request.key == key).count() as f64;
    let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
    assert!((of_key(0) * harmonic / 150_000.0 - 1.0).abs() < 0.05, "{} for the first key", of_key(0));
    assert!((of_key(0) / of_key(1) - 2.0).abs() < 0.15);
    let mean = |rows: &[onramp::data::Request]| {
        rows.iter().map(|request| f64::from(request.features[1])).sum::<f64>() / rows.len() as f64
    };
    assert!(mean(&requests[..70_000]).abs() < 0.02 && (mean(&requests[70_000..]) - 2.0).abs() < 0.02);

    let folder = folder();
    let path = folder.path().join("log");
    Store::write(&path, log, Layout::Partitioned { rows_per_file: 65_536 }).unwrap();
    let run = Scan::new(&path).mean_of(["seconds", "key", "x1"]).run().unwrap();
    assert_eq!(run.rows(), 150_000);
    let expected = requests.iter().map(|request| request.seconds).sum::<f64>() / 150_000.0;
    assert!((run.groups[0].means[0] / expected - 1.0).abs() < 1e-9);
    // A longer log begins with the same whole chunks.
    let longer = RequestLog::new(300_000, Arrivals::Poisson { per_second: rate }).keys(1_000, 1.0).features(2);
    assert_eq!(longer.generate().unwrap()[..65_536], requests[..65_536]);
}

#[test]
fn bursts_bring_more_requests_at_their_time() {
    let arrivals = Arrivals::Bursts { per_second: 100.0, factor: 5.0, period: 10.0, length: 2.0 };
    let requests = RequestLog::new(100_000, arrivals).generate().unwrap();
    let (burst, calm): (Vec<f64>, Vec<f64>) =
        requests.iter().map(|request| request.seconds % 10.0).partition(|second| *second < 2.0);
    let ratio = (burst.len() as f64 / 2.0) / (calm.len() as f64 / 8.0);
    assert!((ratio / 5.0 - 1.0).abs() < 0.05, "{ratio} times as many in a burst");
    for arrivals in [
        Arrivals::Poisson { per_second: 0.0 },
        Arrivals::Bursts { per_second: 1.0, factor: 2.0, period: 1.0, length: 1.0 },
    ] {
        let text = complaint(RequestLog::new(10, arrivals).generate());
        assert!(text.contains("must be above 0, and a burst shorter than the period"), "{text}");
    }
    let text = complaint(RequestLog::new(0, arrivals).generate());
    assert!(text.contains("a log of 0 requests"), "{text}");
    let text = complaint(RequestLog::new(1, arrivals).keys(10, -1.0).generate());
    assert!(text.contains("exponent -1"), "{text}");
}
