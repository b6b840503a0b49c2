//! The population stability index: its closed form, its noise, and how soon it sees a shift.

use onramp::data::{Arrivals, RequestLog};
use onramp::serving::DriftMonitor;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::engine::support::complaint;

const STEADY: Arrivals = Arrivals::Poisson { per_second: 50.0 };

fn rows(log: RequestLog) -> Vec<Vec<f32>> {
    log.generate().unwrap().into_iter().map(|request| request.features).collect()
}

fn reference() -> Vec<Vec<f32>> {
    rows(RequestLog::new(3_000, STEADY).seed(1))
}

#[test]
fn a_shifted_normal_has_the_psi_of_its_closed_form() {
    // Bins between the deciles of N(0, 1), p = 0.1 each; q from N(shift, 1).
    let normal = Normal::new(0.0, 1.0).unwrap();
    for shift in [0.25, 0.5, 1.0] {
        let edges: Vec<f64> = (0..=10).map(|bin| normal.inverse_cdf(f64::from(bin) / 10.0)).collect();
        let share = |ends: &[f64]| normal.cdf(ends[1] - shift) - normal.cdf(ends[0] - shift);
        let expected: f64 = edges.windows(2).map(share).map(|q| (q - 0.1) * (q / 0.1).ln()).sum();
        let reference = rows(RequestLog::new(50_000, STEADY).seed(1));
        let mut monitor = DriftMonitor::new(&reference, [0, 5]).unwrap().window(20_000).unwrap();
        for row in rows(RequestLog::new(20_000, STEADY).drift(0, shift)) {
            monitor.observe(&row).unwrap();
        }
        let [window] = monitor.windows() else { panic!("{:?}", monitor.windows()) };
        for one in &window.psi {
            // The standard deviation is about 2 sqrt(PSI (1/n + 1/m)).
            let tolerance = 4.0 * 2.0 * (expected * (1.0 / 50e3 + 1.0 / 20e3)).sqrt();
            assert!((one.psi - expected).abs() < tolerance, "{shift}: {}, expected {expected}", one.psi);
        }
    }
}

#[test]
fn chance_alone_gives_as_much_as_the_formula_says_and_no_alarm() {
    let mut monitor = DriftMonitor::new(reference(), [0, 1, 2]).unwrap();
    for row in rows(RequestLog::new(25_000, STEADY)) {
        monitor.observe(&row).unwrap();
    }
    assert_eq!(monitor.windows().len(), 50);
    assert!(monitor.windows().iter().filter(|window| window.alarm).count() <= 1);
    assert!((monitor.noise() - 9.0 * (1.0 / 3e3 + 1.0 / 500.0)).abs() < 1e-12);
    let all: Vec<f64> = monitor.windows().iter().flat_map(|window| &window.psi).map(|one| one.psi).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    // 150 values with a standard deviation of sqrt(2/9) of the mean, but one common reference.
    assert!((mean / monitor.noise() - 1.0).abs() < 0.3, "{mean}, expected {}", monitor.noise());
    assert!(monitor.false_alarm_probability() < 1e-3);
}

#[test]
fn a_shift_of_one_sigma_is_seen_within_two_windows() {
    for window in [200, 500, 700, 1_000] {
        let mut monitor = DriftMonitor::new(reference(), [0, 3, 7]).unwrap().window(window).unwrap();
        let mut seen = None;
        for (number, row) in rows(RequestLog::new(6_000, STEADY).drift(3_000, 1.0)).iter().enumerate() {
            let alarm = monitor.observe(row).unwrap().is_some_and(|window| window.alarm);
            assert!(!(alarm && number < 3_000), "a false alarm at {number}");
            seen = seen.or(alarm.then_some(number));
        }
        let seen = seen.expect("no alarm");
        assert!(seen / window - 3_000 / window < 2, "seen at {seen} in windows of {window}");
    }
}

#[test]
fn the_feature_that_moved_is_named() {
    let mut monitor = DriftMonitor::new(reference(), [4, 6]).unwrap();
    for (number, mut row) in rows(RequestLog::new(1_000, STEADY)).into_iter().enumerate() {
        row[6] += if number < 500 { 0.0 } else { 1.0 };
        monitor.observe(&row).unwrap();
    }
    let [before, after] = monitor.windows() else { panic!("{:?}", monitor.windows()) };
    assert!(!before.alarm && after.alarm);
    assert_eq!((after.worst().feature, after.first_request), (6, 500));
    assert!(after.psi[0].psi < 0.1);
    let text = monitor.table().to_string();
    assert!(text.contains("500 to 999") && text.contains("ALARM") && text.contains("Features 4, 6"), "{text}");
    assert!(monitor.figure().unwrap().to_string().contains("feature 6"));
}

#[test]
fn values_that_repeat_have_fewer_bins_and_no_noise_of_their_own() {
    let digit = |number: usize| vec![(number % 3) as f32, 0.0];
    let mut monitor = DriftMonitor::new((0..3_000).map(digit), [0]).unwrap();
    for number in 0..500 {
        monitor.observe(&digit(number)).unwrap();
    }
    assert!(monitor.windows()[0].worst().psi < 1e-4);
    assert!((monitor.noise() - 2.0 * (1.0 / 3e3 + 1.0 / 500.0)).abs() < 1e-12);
    // A value below all that the reference had, and one above.
    for number in 0..500 {
        monitor.observe(&[if number < 250 { -1.0 } else { 9.0 }, 0.0]).unwrap();
    }
    assert!(monitor.windows()[1].alarm);
    let text = complaint(DriftMonitor::new((0..3_000).map(digit), [1]));
    assert!(text.contains("feature 1 is 0 in nine of ten rows"), "{text}");
}

#[test]
fn a_monitor_goes_on_where_it_was_stored() {
    let mut monitor = DriftMonitor::new(reference(), [0, 1]).unwrap();
    let stream = rows(RequestLog::new(1_000, STEADY).drift(500, 0.6));
    let (first, second) = stream.split_at(730);
    for row in first {
        monitor.observe(row).unwrap();
    }
    let mut restored: DriftMonitor = serde_json::from_str(&serde_json::to_string(&monitor).unwrap()).unwrap();
    for row in second {
        monitor.observe(row).unwrap();
        restored.observe(row).unwrap();
    }
    assert_eq!(monitor, restored);
    assert_eq!(monitor.windows().len(), 2);
}

#[test]
fn after_a_renewal_what_was_a_drift_is_usual() {
    let mut monitor = DriftMonitor::new(reference(), [0, 1]).unwrap();
    let drifted = rows(RequestLog::new(4_500, STEADY).drift(0, 1.0));
    monitor.observe(&drifted[0]).unwrap();
    monitor.renew(&drifted[..3_000]).unwrap();
    for row in &drifted[3_000..] {
        monitor.observe(row).unwrap();
    }
    assert_eq!(monitor.windows().len(), 3);
    assert!(monitor.windows().iter().all(|window| !window.alarm));
    assert!(monitor.renew(&drifted[..2_999]).is_err());
}

#[test]
fn what_can_not_be_watched_is_refused() {
    let text = complaint(DriftMonitor::new(&reference()[..2_999], [0]));
    assert!(text.contains("2999 rows") && text.contains("3000"), "{text}");
    let text = complaint(DriftMonitor::new(reference(), []));
    assert!(text.contains("0 features"), "{text}");
    let text = complaint(DriftMonitor::new(reference(), [0, 8]));
    assert!(text.contains("no feature 8"), "{text}");
    let text = complaint(DriftMonitor::new(reference(), [2, 2]));
    assert!(text.contains("feature 2 is named twice"), "{text}");
    let monitor = DriftMonitor::new(reference(), [0]).unwrap();
    let text = complaint(monitor.clone().window(20));
    assert!(text.contains("windows of 20 requests chance alone gives a PSI of 0.453"), "{text}");
    assert!(monitor.clone().window(0).is_err() && monitor.clone().threshold(f64::NAN).is_err());
    let mut monitor = monitor;
    let text = complaint(monitor.observe(&[f32::NAN]).map(|_| ()));
    assert!(text.contains("feature 0 of row 0 is NaN"), "{text}");
    let text = complaint(monitor.observe(&[]).map(|_| ()));
    assert!(text.contains("0 features"), "{text}");
}
