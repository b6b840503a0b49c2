//! Distributions of durations.

use onramp::measure::Latencies;

#[test]
fn percentiles_are_those_of_the_sorted_durations_to_three_digits() {
    // From 1 us to 1,000 s, in equal factors.
    let mut seconds: Vec<f64> = (0..9_000).map(|step| 1e-6 * 10_f64.powf(f64::from(step) / 1_000.0)).collect();
    let latencies = Latencies::of(seconds.iter().rev().copied()).unwrap();
    seconds.sort_by(f64::total_cmp);
    for percent in [0.1, 1.0, 50.0, 90.0, 99.0, 99.9] {
        let rank = (percent / 100.0 * 9_000.0_f64 - 1e-9).ceil() as usize - 1;
        let found = latencies.percentile(percent).unwrap();
        assert!((found / seconds[rank] - 1.0).abs() < 1e-3, "p{percent}: {found}, sorted {}", seconds[rank]);
    }
    let mean = seconds.iter().sum::<f64>() / 9_000.0;
    assert!((latencies.mean().unwrap() / mean - 1.0).abs() < 1e-3);
    assert!((latencies.percentile(100.0).unwrap() - seconds[8_999]).abs() < 1e-6);
    assert_eq!(latencies.count(), 9_000);
    assert!((latencies.share_above(1e-3) - 2.0 / 3.0).abs() < 1e-3 && latencies.share_above(2e3) == 0.0);
}

#[test]
fn a_percentile_beyond_the_durations_is_refused_with_how_many_it_needs() {
    let latencies = Latencies::of((0..99).map(f64::from)).unwrap();
    let text = latencies.percentile(99.0).unwrap_err().to_string();
    assert!(text.contains("needs at least 100 durations and there are 99"), "{text}");
    assert!(Latencies::of((0..100).map(f64::from)).unwrap().percentile(99.0).is_ok());
    assert!(latencies.percentile(99.9).unwrap_err().to_string().contains("at least 1,000"));
    assert!(latencies.percentile(100.0).is_ok() && latencies.percentile(50.0).is_ok());
    for percent in [0.0, -1.0, 101.0, f64::NAN] {
        assert!(latencies.percentile(percent).unwrap_err().to_string().contains("no percentile"));
    }
    let none = Latencies::default();
    assert!(none.percentile(100.0).is_err() && none.mean().is_err() && none.is_empty());
    assert!(Latencies::of([f64::NAN]).is_err());
}

#[test]
fn two_distributions_together_are_that_of_all_durations() {
    let of = |range: std::ops::Range<i32>| Latencies::of(range.map(|step| 1e-3 * f64::from(step))).unwrap();
    assert_eq!(of(1..600).merged(&of(300..1_000)).percentile(50.0).unwrap(), {
        let both = (1..600).chain(300..1_000).map(|step| 1e-3 * f64::from(step));
        Latencies::of(both).unwrap().percentile(50.0).unwrap()
    });
    let json = serde_json::to_string(&of(1..50)).unwrap();
    assert_eq!(serde_json::from_str::<Latencies>(&json).unwrap(), of(1..50));
}
