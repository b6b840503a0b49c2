//! The power law with a floor: published exponents, SciPy's fit, and what the points can't tell.

use onramp::Error;
use onramp::law::{Law, PowerLaw, fit};

use super::{assert_like_scipy, close, exact_points, noisy_points_at, published, says};

const SIZES: [f64; 6] = [1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

fn law() -> PowerLaw {
    PowerLaw::new("parameters", "loss")
}

/// Kaplan et al. 2020: L(N) = (8.8e13 / N)^0.076; twice the parameters leave 0.95 of the loss.
#[test]
fn kaplans_law_gives_its_published_factor_and_has_no_floor() {
    let kaplan = [8.8e13f64.powf(0.076), 0.076, 0.0];
    let loss = |parameters: f64| law().value(&kaplan, parameters);
    assert!((loss(2e9) / loss(1e9) - 0.95).abs() < 0.002);
    assert!((loss(8.8e13) - 1.0).abs() < 1e-9);
    let found = fit(&law(), &exact_points(&SIZES, loss)).unwrap();
    assert!(found.holds && close(found.parameter("b").unwrap().value, 0.076, 1e-2), "{found}");
    assert!(found.parameter("c").unwrap().low == 0.0 && says(&found, "The floor is not determined"), "{found}");
}

/// Hoffmann et al. 2022: L(N, D) = 1.69 + 406.4 / N^0.34 + 410.7 / D^0.28, so 1.94 for Chinchilla's N = 70e9 and
/// D = 1.4e12. With one of the two fixed, the term of the other belongs to the floor.
#[test]
fn hoffmanns_law_comes_back_with_its_floor() {
    let tokens_term = 410.7 * 1.4e12f64.powf(-0.28);
    let floor = 1.69 + tokens_term;
    let loss = |parameters: f64| law().value(&[406.4, 0.34, floor], parameters);
    assert!((loss(70e9) - 1.936).abs() < 0.002, "{}", loss(70e9));
    for (a, b, c) in [(406.4, 0.34, 1.69), (410.7, 0.28, 1.69), (406.4, 0.34, floor)] {
        let found = fit(&law(), &exact_points(&SIZES, |x| a * x.powf(-b) + c)).unwrap();
        for (symbol, wanted) in [("a", a), ("b", b), ("c", c)] {
            assert!(close(found.parameter(symbol).unwrap().value, wanted, 1e-3), "{found}");
        }
        assert!(found.holds && close(found.derived("x_half").unwrap().value, 2f64.powf(1.0 / b), 1e-2), "{found}");
    }
}

/// SciPy 1.17:
///
/// ```python
/// f = lambda x, a, b, c: np.log(a * x ** -b + c)
/// p, c = curve_fit(f, x, np.log(y), p0=[50, .35, 1.6], bounds=(0, np.inf), sigma=np.full(6, .01),
///                  absolute_sigma=True, jac="3-point", ftol=1e-15, xtol=1e-15, gtol=1e-15)
/// s2 = max(1, sum(residuals ** 2) / 3);  half = sqrt(diag(c) * s2) * scipy.stats.t.ppf(.975, 3)
/// ```
#[test]
fn parameters_and_intervals_are_those_of_scipy() {
    let points = [(1e3, 6.10), (1e4, 3.52), (1e5, 2.42), (1e6, 1.93), (1e7, 1.74), (1e8, 1.66)];
    let found = fit(&law(), &published(&points)).unwrap();
    assert_like_scipy(
        &found,
        &[("a", 58.2249139, 11.02856), ("b", 0.370176882, 0.02482651), ("c", 1.59145299, 0.05279085)],
    );
    let halving = found.derived("x_half").unwrap();
    assert!(close(halving.value, 6.50437876, 1e-4) && close(halving.low, 5.736762, 1e-3), "{halving:?}");
}

#[test]
fn noisy_points_give_exponent_and_floor_back_within_their_intervals() {
    let (truth, trials) = ([58.0, 0.37, 1.6], 100);
    let xs = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    let covered = (0..trials).filter(|&seed| {
        let found = fit(&law(), &noisy_points_at(&xs, &law(), &truth, 0.03, seed)).unwrap();
        let inside = |symbol: &str, truth: f64| {
            let number = found.parameter(symbol).unwrap();
            number.low <= truth && truth <= number.high
        };
        inside("b", 0.37) && inside("c", 1.6)
    });
    let covered = covered.count();
    assert!(covered >= 85, "both intervals covered the truth in only {covered} of {trials} trials");
}

#[test]
fn points_that_do_not_fall_leave_the_exponent_open() {
    let flat = [(1e3, 2.01), (1e4, 1.99), (1e5, 2.02), (1e6, 1.98), (1e7, 2.00), (1e8, 2.01)];
    let text = fit(&law(), &published(&flat)).unwrap_err().to_string();
    assert!(text.contains("don't determine the parameters") && text.contains("fewer parameters"), "{text}");
    // Falling, but by less than the points scatter.
    let weak = [(1e3, 2.06), (1e4, 2.02), (1e5, 2.03), (1e6, 1.98), (1e7, 2.00), (1e8, 1.96)];
    let found = fit(&law(), &published(&weak)).unwrap();
    assert!(says(&found, "b can't be told from 0") && says(&found, "don't show that more x helps"), "{found}");
}

#[test]
fn points_that_rise_again_are_said_not_to_follow_the_law() {
    // Overfitting: the loss falls and then rises, a little or as far as it fell.
    let found = fit(&law(), &exact_points(&SIZES, |x| 1.0 + (x.log10() - 8.5).powi(2) / 4.0)).unwrap();
    assert!(!found.holds && found.notes[0].contains("does NOT hold"), "{found}");
    let text = fit(&law(), &exact_points(&SIZES, |x| 1.0 + (x.log10() - 7.5).powi(2) / 4.0)).unwrap_err().to_string();
    assert!(text.contains("don't determine") && text.contains("does NOT hold"), "{text}");
}

#[test]
fn four_sizes_one_size_and_losses_that_are_no_numbers_are_refused() {
    let error = fit(&law(), &exact_points(&SIZES[..4], |x| x.powf(-0.1))).unwrap_err();
    assert!(matches!(error, Error::TooFewPoints(_)) && error.to_string().contains("add 1 more"), "{error}");
    assert!(fit(&law(), &exact_points(&[10.0; 8], |x| x)).unwrap_err().to_string().contains("add 4 more"));
    for bad in [0.0, -2.0, f64::NAN, f64::INFINITY] {
        let mut points = exact_points(&SIZES, |x| x.powf(-0.1));
        points[5].y.median = bad;
        let text = fit(&law(), &points).unwrap_err().to_string();
        assert!(text.contains(&format!("y = {bad}")) && text.contains("above 0"), "{text}");
    }
}
