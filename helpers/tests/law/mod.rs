//! Fitting: known parameters come back, reference numbers agree, and bad data is called bad.

mod all_reduce_time;
mod cache_hits;
mod power_law;
mod queue;
mod roofline;
mod speed_up;
mod usl;

use onramp::Error;
use onramp::law::{Fit, HalfEfficiency, Law, Point, fit};
use onramp::measure::{Estimate, Provenance};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

const ROWS: [f64; 6] = [8.0, 32.0, 128.0, 512.0, 1024.0, 2048.0];

/// Points of a law with known parameters; each has 7 samples whose logarithms scatter by `noise`.
fn noisy_points(law: &dyn Law, parameters: &[f64], noise: f64, seed: u64) -> Vec<Point> {
    noisy_points_at(&ROWS, law, parameters, noise, seed)
}

fn noisy_points_at(xs: &[f64], law: &dyn Law, parameters: &[f64], noise: f64, seed: u64) -> Vec<Point> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let scatter = Normal::new(0.0, noise).unwrap();
    xs.iter()
        .map(|&x| {
            let samples = (0..7).map(|_| law.value(parameters, x) * f64::exp(scatter.sample(&mut random))).collect();
            Point::new(x, Estimate::from_samples(samples).unwrap(), Provenance::Replayed)
        })
        .collect()
}

fn exact_points(xs: &[f64], y: impl Fn(f64) -> f64) -> Vec<Point> {
    xs.iter().map(|&x| Point::new(x, Estimate::exact(y(x)), Provenance::Measured)).collect()
}

fn published(points: &[(f64, f64)]) -> Vec<Point> {
    points.iter().map(|&(x, y)| Point::new(x, Estimate::exact(y), Provenance::Published)).collect()
}

/// Compares fitted numbers (name, value, half of the interval) with those of SciPy.
fn assert_like_scipy(found: &Fit, numbers: &[(&str, f64, f64)]) {
    for &(name, value, half) in numbers {
        let number = found.parameter(name).unwrap();
        assert!(close(number.value, value, 1e-5), "{name}: {} instead of {value}", number.value);
        // Upwards from the value: the lower end may stop at 0.
        let width = number.high - number.value;
        assert!(close(width, half, 1e-4), "{name}: half width {width} instead of {half}");
    }
}

fn says(found: &Fit, words: &str) -> bool {
    found.notes.iter().any(|note| note.contains(words))
}

fn close(value: f64, wanted: f64, share: f64) -> bool {
    (value / wanted - 1.0).abs() <= share
}

#[test]
fn exact_points_give_the_parameters_back() {
    let found = fit(&HalfEfficiency, &exact_points(&ROWS, |b| (b + 20.0) / (b + 20.0 + 800.0))).unwrap();
    assert!(close(found.parameter("b0").unwrap().value, 20.0, 1e-6), "{found}");
    assert!(close(found.parameter("bT").unwrap().value, 800.0, 1e-6), "{found}");
    assert!(close(found.derived("b*").unwrap().value, 780.0, 1e-6), "{found}");
    assert!(found.r2 > 0.999_999 && found.holds, "{found}");
}

#[test]
fn noisy_points_give_the_parameters_back_within_their_intervals() {
    let (mut covered, mut widths) = (0, 0.0);
    let trials = 200;
    for seed in 0..trials {
        let found = fit(&HalfEfficiency, &noisy_points(&HalfEfficiency, &[20.0, 800.0], 0.05, seed)).unwrap();
        let half = found.derived("b*").unwrap();
        let inside = |name: &str, truth: f64| {
            let number = found.parameter(name).unwrap();
            number.low <= truth && truth <= number.high
        };
        covered += usize::from(half.low <= 780.0 && 780.0 <= half.high && inside("b0", 20.0) && inside("bT", 800.0));
        widths += (half.high - half.low) / half.value / trials as f64;
        assert!(found.holds, "seed {seed}: {found}");
    }
    assert!(covered >= 175, "all three intervals covered the truth in only {covered} of {trials} trials");
    assert!(widths < 0.25, "the intervals of b* are too wide to say anything: {widths:.2} of its value");
}

/// The numbers come from SciPy 1.17:
///
/// ```python
/// f = lambda b, b0, bT: np.log((b + b0) / (b + b0 + bT))
/// sigma = np.maximum(np.array([.03, .02, .02, .04, .05]) / 1.96, .01)
/// p, c = curve_fit(f, [8, 32, 128, 512, 2048], np.log([.036, .060, .165, .40, .74]), p0=[20, 800],
///                  sigma=sigma, absolute_sigma=True, ftol=1e-14, xtol=1e-14, gtol=1e-14)
/// s2 = max(1, sum(residuals ** 2) / 3);  half = sqrt(diag(c) * s2) * scipy.stats.t.ppf(.975, 3)
/// ```
#[test]
fn parameters_and_intervals_are_those_of_scipy() {
    let measured =
        [(8.0, 0.036, 0.03), (32.0, 0.060, 0.02), (128.0, 0.165, 0.02), (512.0, 0.40, 0.04), (2048.0, 0.74, 0.05)];
    let points: Vec<Point> = measured
        .iter()
        .map(|&(x, y, half)| {
            let y = Estimate { median: y, low: y * (1.0 - half), high: y * (1.0 + half), samples: vec![y] };
            Point::new(x, y, Provenance::Measured)
        })
        .collect();
    let found = fit(&HalfEfficiency, &points).unwrap();
    let number = |name: &str| found.parameter(name).or_else(|_| found.derived(name)).unwrap();
    for (name, value, half) in
        [("b0", 19.775354, 6.907707), ("bT", 774.920415, 110.702125), ("b*", 755.145061, 104.902525)]
    {
        let number = number(name);
        assert!(close(number.value, value, 1e-5), "{name}: {} instead of {value}", number.value);
        let width = (number.high - number.low) / 2.0;
        assert!(close(width, half, 1e-3), "{name}: half width {width} instead of {half}");
    }
}

#[test]
fn a_parameter_at_zero_is_found_and_said_to_be_undetermined() {
    let found = fit(&HalfEfficiency, &exact_points(&ROWS, |b| b / (b + 500.0))).unwrap();
    assert!(found.parameter("b0").unwrap().value < 0.1, "{found}");
    assert!(close(found.parameter("bT").unwrap().value, 500.0, 1e-3), "{found}");
    assert!(found.notes.iter().any(|note| note.starts_with("b0 can't be told from 0")), "{found}");
}

#[test]
fn too_few_different_points_are_refused_with_their_number() {
    let mut points = exact_points(&[8.0, 32.0, 128.0], |b| b / (b + 500.0));
    points.extend(exact_points(&[8.0, 32.0, 128.0], |b| b / (b + 501.0)));
    let error = fit(&HalfEfficiency, &points).unwrap_err();
    assert!(matches!(error, Error::TooFewPoints(_)));
    let text = error.to_string();
    assert!(
        text.contains("4 or more different x") && text.contains("8, 32, 128") && text.contains("add 1 more"),
        "{text}"
    );
    assert!(matches!(fit(&HalfEfficiency, &[]), Err(Error::TooFewPoints(_))));
}

#[test]
fn points_that_no_law_can_meet_are_refused_with_their_value() {
    let mut points = exact_points(&ROWS, |b| b / (b + 500.0));
    points[2].y = Estimate::exact(0.0);
    let text = fit(&HalfEfficiency, &points).unwrap_err().to_string();
    assert!(text.contains("x = 128, y = 0"), "{text}");
}

#[test]
fn a_law_that_does_not_hold_says_so_and_where() {
    // Efficiency that falls again, as when the workers run out of memory.
    let found = fit(&HalfEfficiency, &exact_points(&ROWS, |b| if b < 600.0 { b / (b + 100.0) } else { 0.4 })).unwrap();
    assert!(!found.holds);
    assert!(found.notes[0].contains("does NOT hold") && found.notes[0].contains("x = 2,048"), "{}", found.notes[0]);
    assert!(found.to_string().contains("does NOT hold"));
}

#[test]
fn a_half_that_was_not_reached_is_called_extrapolated_and_one_below_zero_impossible() {
    let far = fit(&HalfEfficiency, &exact_points(&ROWS, |b| (b + 10.0) / (b + 10.0 + 9000.0))).unwrap();
    assert!(far.notes.iter().any(|note| note.contains("extrapolated")), "{far}");
    let none = fit(&HalfEfficiency, &exact_points(&ROWS, |b| (b + 90.0) / (b + 90.0 + 30.0))).unwrap();
    assert!(none.notes.iter().any(|note| note.contains("not above 0")), "{none}");
}

#[test]
fn a_prediction_stands_beside_the_fitted_number_with_the_factor_between_them() {
    let found = fit(&HalfEfficiency, &exact_points(&ROWS, |b| (b + 20.0) / (b + 20.0 + 800.0))).unwrap();
    let found = found.compare("b*", Estimate::exact(390.0), "(T - s0) C / (k P)").unwrap();
    assert!(close(found.derived("b*").unwrap().factor().unwrap(), 2.0, 1e-6));
    let text = found.to_string();
    assert!(text.contains("390") && text.contains("2x") && text.contains("(T - s0) C / (k P)"), "{text}");
    let error = found.compare("c*", Estimate::exact(1.0), "").unwrap_err().to_string();
    assert!(error.contains("\"c*\"") && error.contains("b0, bT, b*"), "{error}");
}

#[test]
fn a_fit_survives_serde_and_draws_points_and_curve() {
    let found = fit(&HalfEfficiency, &noisy_points(&HalfEfficiency, &[20.0, 800.0], 0.02, 1)).unwrap();
    let again: Fit = serde_json::from_value(serde_json::to_value(&found).unwrap()).unwrap();
    assert_eq!(again, found);
    let text = found.figure().unwrap().to_string();
    assert!(text.contains("replayed") && text.contains("fitted law") && text.contains("b* = "), "{text}");
}
