//! The time of an all-reduce: links come back from times, and predict other algorithms and world sizes.

use onramp::Error;
use onramp::communication::{Algorithm, Link};
use onramp::law::{AllReduceTime, HalfEfficiency, Law, Point, fit};
use onramp::measure::{Estimate, Provenance};

use super::{ROWS, assert_like_scipy, close, exact_points, noisy_points_at, says};

const BYTES: [f64; 6] = [1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

#[test]
fn the_law_is_the_formula_of_the_algorithms() {
    for algorithm in Algorithm::ALL {
        for workers in [2, 3, 5, 8, 16] {
            let law = AllReduceTime::new(algorithm, workers).unwrap();
            for link in [Link::lan(), Link::wan(), Link::data_center()] {
                let parameters = [link.latency_seconds(), 1.0 / link.bytes_per_second()];
                for bytes in [4.0, 1e6, 1e9] {
                    let wanted = algorithm.seconds(&link, workers, bytes);
                    assert!(close(law.value(&parameters, bytes), wanted, 1e-9), "{algorithm} {workers} {link}");
                }
            }
        }
    }
    // Patarasuk and Yuan 2009: a ring sends 2 (p - 1) / p of the bytes, whatever the algorithm above it.
    assert!(close(AllReduceTime::new(Algorithm::Ring, 4).unwrap().value(&[0.0, 1.0], 1.0), 1.5, 1e-12));
}

#[test]
fn exact_times_give_the_link_back_and_predict_every_other_all_reduce() {
    for algorithm in Algorithm::ALL {
        let law = AllReduceTime::new(algorithm, 8).unwrap();
        let found = fit(&law, &exact_points(&BYTES, |bytes| algorithm.seconds(&Link::lan(), 8, bytes))).unwrap();
        assert!(found.holds, "{found}");
        let link = AllReduceTime::link(&found, "fitted").unwrap();
        assert!(close(link.latency_seconds(), 100e-6, 1e-5) && close(link.bytes_per_second(), 125e6, 1e-5), "{link}");
        for other in Algorithm::ALL {
            for workers in [2, 64] {
                let predicted = AllReduceTime::new(other, workers).unwrap().predict(&found, 3e5).unwrap();
                assert!(close(predicted.median, other.seconds(&Link::lan(), workers, 3e5), 1e-5), "{other} {workers}");
                assert!(predicted.low < predicted.median && predicted.median < predicted.high);
            }
        }
    }
}

#[test]
fn noisy_times_give_the_link_back_within_the_intervals() {
    let truth = [100e-6, 8e-9];
    let law = AllReduceTime::new(Algorithm::Tree, 8).unwrap();
    let other = AllReduceTime::new(Algorithm::Ring, 16).unwrap();
    let (mut covered, mut foretold, trials) = (0, 0, 100);
    for seed in 0..trials {
        let found = fit(&law, &noisy_points_at(&BYTES, &law, &truth, 0.05, seed)).unwrap();
        let inside = |low: f64, truth: f64, high: f64| low <= truth && truth <= high;
        let (alpha, rate) = (found.parameter("alpha").unwrap(), found.derived("W").unwrap());
        covered += usize::from(inside(alpha.low, 100e-6, alpha.high) && inside(rate.low, 125e6, rate.high));
        foretold += usize::from(other.predict(&found, 3e5).unwrap().contains(other.value(&truth, 3e5)));
        assert!(found.holds && rate.high / rate.low < 1.5, "seed {seed}: {found}");
    }
    assert!(covered >= 85, "the intervals covered alpha and W in only {covered} of {trials} trials");
    assert!(foretold >= 90, "the prediction's interval covered the time in only {foretold} of {trials} trials");
}

/// SciPy 1.17, for a ring of 8, in units of 100 us and 8 ns because SciPy's derivatives take steps of 1e-8 at least:
///
/// ```python
/// f = lambda n, alpha, beta: np.log(14 * 1e-4 * alpha + 7 / 4 * n * 8e-9 * beta)
/// p, c = curve_fit(f, n, np.log(T), p0=[1, 1], bounds=(0, np.inf), sigma=np.full(6, .02), absolute_sigma=True,
///                  jac="3-point", ftol=1e-15, xtol=1e-15, gtol=1e-15)
/// s2 = max(1, sum(residuals ** 2) / 4);  half = sqrt(diag(c) * s2) * scipy.stats.t.ppf(.975, 4)
/// ```
#[test]
fn latency_rate_and_intervals_are_those_of_scipy() {
    let times = [1.45e-3, 1.38e-3, 1.60e-3, 2.75e-3, 15.1e-3, 0.1432];
    let half = 0.02 * 1.96;
    let points: Vec<Point> = (BYTES.into_iter().zip(times))
        .map(|(bytes, t)| {
            let y = Estimate { median: t, low: t * (1.0 - half), high: t * (1.0 + half), samples: vec![t] };
            Point::new(bytes, y, Provenance::Emulated)
        })
        .collect();
    let found = fit(&AllReduceTime::new(Algorithm::Ring, 8).unwrap(), &points).unwrap();
    assert_like_scipy(&found, &[("alpha", 0.000101227353, 4.873641e-06), ("beta", 7.93678895e-09, 4.670415e-10)]);
    let rate = found.derived("W").unwrap();
    assert!(close(rate.value, 125_995_539.0, 1e-4), "{rate:?}");
    assert!(close(rate.low, 1.187952e+08, 1e-3) && close(rate.high, 1.336323e+08, 1e-3), "{rate:?}");
}

#[test]
fn short_messages_alone_leave_the_rate_open_and_long_ones_the_latency() {
    let law = AllReduceTime::new(Algorithm::Ring, 8).unwrap();
    let short = [4.0, 8.0, 16.0, 32.0, 64.0];
    let found = fit(&law, &exact_points(&short, |bytes| Algorithm::Ring.seconds(&Link::lan(), 8, bytes))).unwrap();
    assert!(says(&found, "beta can't be told from 0") && says(&found, "Measure larger n"), "{found}");
    let error = AllReduceTime::link(&found, "fitted").unwrap_err().to_string();
    assert!(error.starts_with("W is not determined"), "{error}");
    let long = [1e8, 2e8, 4e8, 8e8, 1e9];
    let found = fit(&law, &exact_points(&long, |bytes| Algorithm::Ring.seconds(&Link::lan(), 8, bytes))).unwrap();
    assert!(says(&found, "alpha can't be told from 0") && says(&found, "Measure smaller n"), "{found}");
}

#[test]
fn times_that_jump_are_said_not_to_follow_the_law() {
    // Above 100 kB the messages leave the cache and cost three times as much.
    let jump = |bytes: f64| Algorithm::Ring.seconds(&Link::lan(), 8, bytes) * if bytes > 1e5 { 3.0 } else { 1.0 };
    let found = fit(&AllReduceTime::new(Algorithm::Ring, 8).unwrap(), &exact_points(&BYTES, jump)).unwrap();
    assert!(!found.holds && found.notes[0].contains("at x = 100,000"), "{}", found.notes[0]);
}

#[test]
fn one_worker_few_sizes_another_law_and_impossible_sizes_are_refused() {
    let text = AllReduceTime::new(Algorithm::Ring, 1).unwrap_err().to_string();
    assert!(text.contains("world size is 1") && text.contains("use 2 or more"), "{text}");
    let law = AllReduceTime::new(Algorithm::Central, 4).unwrap();
    let few = fit(&law, &exact_points(&[1e3, 1e4, 1e5], |bytes| bytes)).unwrap_err();
    assert!(matches!(few, Error::TooFewPoints(_)) && few.to_string().contains("add 1 more"), "{few}");
    let half = fit(&HalfEfficiency, &exact_points(&ROWS, |b| b / (b + 500.0))).unwrap();
    assert!(law.predict(&half, 1e3).unwrap_err().to_string().contains("\"alpha\""));
    let found = fit(&law, &exact_points(&BYTES, |bytes| 1e-3 + bytes * 1e-8)).unwrap();
    for bytes in [-1.0, f64::NAN] {
        let text = law.predict(&found, bytes).unwrap_err().to_string();
        assert!(text.contains(&format!("{bytes} bytes")) && text.contains("such as 1e6"), "{text}");
    }
}
