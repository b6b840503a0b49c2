//! Estimates, their intervals, and taking turns.

mod latencies;

use std::cell::RefCell;

use onramp::Error;
use onramp::measure::{Estimate, Provenance, interleaved};
use statrs::distribution::{Binomial, DiscreteCDF};

/// The exact distribution of a bootstrap median of an odd number n of different samples: it is at most the
/// k-th smallest when at least (n + 1) / 2 of the n draws are among the k smallest.
fn share_at_most(n: u64, k: u64) -> f64 {
    1.0 - Binomial::new(k as f64 / n as f64, n).unwrap().cdf(n.div_ceil(2) - 1)
}

/// The ends of the interval; the sizes below are those at which 2,000 draws find them without luck.
fn exact_interval(sorted: &[f64]) -> (f64, f64) {
    let n = sorted.len() as u64;
    let at = |share: f64| sorted[(1..=n).find(|&k| share_at_most(n, k) > share).unwrap() as usize - 1];
    (at(0.025), at(0.975))
}

#[test]
fn the_interval_is_the_exact_one_of_the_bootstrap_median() {
    for n in [7, 11, 17] {
        let samples: Vec<f64> = (0..n).map(|place| f64::from((place * 5) % n) * 1.5 + 2.0).collect();
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let estimate = Estimate::from_samples(samples.clone()).unwrap();
        assert_eq!((estimate.low, estimate.high), exact_interval(&sorted), "n = {n}");
        assert_eq!(estimate.median, sorted[n as usize / 2]);
        assert_eq!(estimate.samples, samples, "the samples are kept in their order");
    }
}

#[test]
fn the_median_of_an_even_number_lies_between_the_middle_two() {
    assert_eq!(Estimate::from_samples(vec![4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
}

#[test]
fn one_sample_has_no_width() {
    let estimate = Estimate::from_samples(vec![3.0]).unwrap();
    assert_eq!((estimate.low, estimate.median, estimate.high), (3.0, 3.0, 3.0));
    assert_eq!(estimate, Estimate::exact(3.0));
}

#[test]
fn nothing_and_not_a_number_are_refused_with_the_value() {
    assert!(matches!(Estimate::from_samples(vec![]), Err(Error::TooFewPoints(_))));
    let error = Estimate::from_samples(vec![1.0, f64::NAN]).unwrap_err();
    assert!(error.to_string().contains("sample 2 of 2 is NaN"), "{error}");
}

#[test]
fn a_falling_map_turns_the_interval_around() {
    let seconds = Estimate { median: 2.0, low: 1.0, high: 4.0, samples: vec![1.0, 2.0, 4.0] };
    let per_second = seconds.map(|seconds| 8.0 / seconds);
    assert_eq!((per_second.low, per_second.median, per_second.high), (2.0, 4.0, 8.0));
    assert_eq!(per_second.samples, [8.0, 4.0, 2.0]);
}

#[test]
fn a_paired_ratio_is_not_disturbed_by_a_machine_that_slows_down() {
    let drift: Vec<f64> = (0..9).map(|round| 1.0 + 0.2 * f64::from(round)).collect();
    let slow = Estimate::from_samples(drift.iter().map(|drift| 3.0 * drift).collect()).unwrap();
    let fast = Estimate::from_samples(drift).unwrap();
    let ratio = slow.ratio(&fast);
    assert!((ratio.low - 3.0).abs() < 1e-9 && (ratio.high - 3.0).abs() < 1e-9, "{ratio:?}");
    assert!(slow.high / slow.low > 1.5, "each side alone is wide: {slow:?}");
}

#[test]
fn an_unpaired_ratio_carries_the_uncertainty_of_both_sides() {
    let own = Estimate::from_samples((0..9).map(|place| 10.0 + f64::from(place % 3)).collect()).unwrap();
    let other = Estimate::from_samples((0..11).map(|place| 5.0 + f64::from(place % 2)).collect()).unwrap();
    let ratio = own.ratio(&other);
    assert_eq!(ratio.median, 11.0 / 5.0);
    assert_eq!((ratio.low, ratio.high), (10.0 / 6.0, 12.0 / 5.0));
}

#[test]
fn intervals_know_what_they_contain_and_overlap() {
    let estimate = Estimate { median: 2.0, low: 1.0, high: 3.0, samples: vec![] };
    assert!(estimate.contains(3.0) && !estimate.contains(3.1));
    assert!(estimate.overlaps(&Estimate::exact(1.0)) && !estimate.overlaps(&Estimate::exact(0.9)));
    assert_eq!(estimate.to_string(), "2 (1 to 3)");
}

#[test]
fn variants_take_turns_after_their_warm_ups() {
    let calls = RefCell::new(String::new());
    let mut note = |name: char| {
        calls.borrow_mut().push(name);
        Ok(calls.borrow().len() as f64)
    };
    let note = RefCell::new(&mut note);
    let mut one = || (note.borrow_mut())('a');
    let mut other = || (note.borrow_mut())('b');
    let estimates = interleaved(3, 2, &mut [&mut one, &mut other]).unwrap();
    assert_eq!(*calls.borrow(), "ababababab");
    assert_eq!(estimates[0].samples, [5.0, 7.0, 9.0]);
    assert_eq!(estimates[1].samples, [6.0, 8.0, 10.0]);
}

#[test]
fn nothing_to_measure_is_refused_and_a_failing_variant_stops_the_run() {
    let mut works = || Ok(1.0);
    assert!(interleaved(0, 1, &mut [&mut works]).is_err());
    assert!(interleaved(3, 1, &mut []).is_err());
    let mut fails = || Err(Error::InvalidInput("the step failed".into()));
    assert_eq!(interleaved(3, 0, &mut [&mut fails]).unwrap_err().to_string(), "the step failed");
}

#[test]
fn every_origin_has_its_own_label_and_survives_serde() {
    let labels: Vec<String> = Provenance::ALL.iter().map(|origin| serde_json::to_string(origin).unwrap()).collect();
    assert_eq!(labels, ["\"measured\"", "\"emulated\"", "\"replayed\"", "\"published\""]);
    let estimate = Estimate::from_samples(vec![1.0, 2.0, 3.0]).unwrap();
    let again: Estimate = serde_json::from_value(serde_json::to_value(&estimate).unwrap()).unwrap();
    assert_eq!(again, estimate);
}
