//! Amdahl's and Gustafson's laws: published and closed-form values, SciPy's fits, and speed-ups that neither can have.

use onramp::Error;
use onramp::law::{Amdahl, Gustafson, Law, Point, fit};
use onramp::measure::{Estimate, Provenance};

use super::{assert_like_scipy, close, exact_points, published, says};

const WORKERS: [f64; 5] = [2.0, 4.0, 8.0, 16.0, 32.0];

#[test]
fn five_percent_of_serial_work_on_32_workers() {
    assert!((Amdahl.value(&[0.05], 32.0) - 12.549).abs() < 1e-3);
    assert!((Gustafson.value(&[0.05], 32.0) - 30.45).abs() < 1e-9);
}

/// Gustafson 1988: speed-ups of 1021, 1020 and 1016 on 1024 processors, for serial shares "between 0.4 and 0.8 percent".
#[test]
fn the_speed_ups_of_gustafsons_paper_follow_from_its_serial_shares() {
    let (most, least) = (Gustafson.value(&[0.004], 1024.0), Gustafson.value(&[0.008], 1024.0));
    assert!(least.round() == 1016.0 && most.round() == 1020.0, "{least} to {most}");
    // With the same shares, work that stays the same would be at most a fifth as fast.
    assert!(Amdahl.value(&[0.004], 1024.0) < 202.0);
}

#[test]
fn exact_points_give_the_serial_share_back() {
    for share in [0.001, 0.05, 0.4] {
        let found = fit(&Amdahl, &exact_points(&WORKERS, |n| 1.0 / (share + (1.0 - share) / n))).unwrap();
        assert!(found.holds && close(found.parameter("f").unwrap().value, share, 1e-5), "{found}");
        assert!(found.residuals.iter().all(|residual| residual.abs() < 1e-5), "{found}");
        let found = fit(&Gustafson, &exact_points(&WORKERS, |n| share + (1.0 - share) * n)).unwrap();
        assert!(found.holds && close(found.parameter("f").unwrap().value, share, 1e-5), "{found}");
    }
}

/// SciPy 1.17:
///
/// ```python
/// p, c = curve_fit(lambda N, f: np.log(1 / (f + (1 - f) / N)), N, np.log(S), p0=[.05], bounds=(0, np.inf),
///                  sigma=np.full(5, .01), absolute_sigma=True, ftol=1e-15, xtol=1e-15, gtol=1e-15)
/// s2 = max(1, sum(residuals ** 2) / 4);  half = sqrt(diag(c) * s2) * scipy.stats.t.ppf(.975, 4)
/// ```
///
/// and the same with `N - f * (N - 1)` for Gustafson. The interval of 1/f is a factor, exp(± half(1/f) f).
#[test]
fn shares_and_intervals_are_those_of_scipy() {
    let measured = [1.88, 3.5, 5.8, 9.4, 12.1];
    let points: Vec<(f64, f64)> = WORKERS.into_iter().zip(measured).collect();
    let found = fit(&Amdahl, &published(&points)).unwrap();
    assert_like_scipy(&found, &[("f", 0.0512266081, 0.00429272)]);
    let limit = found.derived("S_max").unwrap();
    assert!(close(limit.low, 17.95193, 1e-4) && close(limit.high, 21.22744, 1e-4), "{limit:?}");

    let measured = [1.97, 3.8, 7.75, 15.1, 30.6];
    let points: Vec<(f64, f64)> = WORKERS.into_iter().zip(measured).collect();
    let found = fit(&Gustafson, &published(&points)).unwrap();
    assert_like_scipy(&found, &[("f", 0.049404063, 0.01712566)]);
}

#[test]
fn each_law_says_that_it_does_not_hold_for_the_others_points() {
    let workers = [2.0, 8.0, 32.0, 128.0];
    let scaled = exact_points(&workers, |n| 0.1 + 0.9 * n);
    let fixed = exact_points(&workers, |n| 1.0 / (0.1 + 0.9 / n));
    assert!(fit(&Gustafson, &scaled).unwrap().holds && !fit(&Gustafson, &fixed).unwrap().holds);
    assert!(
        fit(&Amdahl, &fixed).unwrap().holds && !fit(&Amdahl, &exact_points(&workers, |n| 0.6 + 0.4 * n)).unwrap().holds
    );
}

#[test]
fn a_super_linear_speed_up_keeps_f_at_0_and_says_so() {
    for law in [&Amdahl as &dyn Law, &Gustafson] {
        let found = fit(law, &exact_points(&WORKERS, |n| n * 1.2)).unwrap();
        let share = found.parameter("f").unwrap();
        assert!(share.low == 0.0 && share.value < 1e-3, "{found}");
        assert!(!found.holds && says(&found, "super-linear (2.40 at N = 2"), "{found}");
        assert!(says(&found, "f can't be told from 0"), "{found}");
    }
    // Without any serial share there is no limit to speak of.
    let error = fit(&Amdahl, &exact_points(&WORKERS, |n| n)).unwrap().derived("S_max").unwrap_err().to_string();
    assert!(error.starts_with("S_max is not determined"), "{error}");
}

#[test]
fn workers_that_only_slow_each_other_down_keep_f_at_1_and_say_so() {
    for law in [&Amdahl as &dyn Law, &Gustafson] {
        let found = fit(law, &exact_points(&WORKERS, |n| 1.0 / n.sqrt())).unwrap();
        let share = found.parameter("f").unwrap();
        assert!(share.value <= 1.0 && share.value > 0.99 && share.high == 1.0, "{found}");
        assert!(!found.holds && says(&found, "f can't be told from 1"), "{found}");
    }
}

#[test]
fn one_worker_says_nothing_about_the_serial_share() {
    let points = exact_points(&[1.0, 2.0, 4.0], |n| 1.0 / (0.1 + 0.9 / n));
    let error = fit(&Amdahl, &points).unwrap_err();
    assert!(matches!(error, Error::TooFewPoints(_)));
    let text = error.to_string();
    assert!(text.contains("1 parameter and needs points at 3") && text.contains("are 2 (2, 4); add 1 more"), "{text}");
    assert!(text.contains("x = 1 doesn't count"), "{text}");
}

#[test]
fn the_point_of_one_worker_changes_neither_the_share_nor_its_interval() {
    let mut points = published(&[(2.0, 1.9), (4.0, 3.5), (8.0, 5.8), (16.0, 9.0)]);
    let without = fit(&Amdahl, &points).unwrap();
    points.insert(0, Point::new(1.0, Estimate::exact(1.0), Provenance::Published));
    let with = fit(&Amdahl, &points).unwrap();
    assert_eq!(with.parameters, without.parameters);
    assert_eq!((with.points.len(), with.residuals.len()), (5, 5));
}

#[test]
fn part_of_a_worker_and_a_speed_up_that_is_no_number_are_refused() {
    let text = fit(&Amdahl, &exact_points(&[0.5, 2.0, 4.0, 8.0], |n| n)).unwrap_err().to_string();
    assert!(text.contains("0.5 workers") && text.contains("from 1"), "{text}");
    for (bad, shown) in [(f64::NAN, "y = NaN"), (-1.0, "y = -1"), (0.0, "y = 0")] {
        let mut points = exact_points(&WORKERS, |n| n);
        points[1].y.median = bad;
        let text = fit(&Gustafson, &points).unwrap_err().to_string();
        assert!(text.contains("x = 4") && text.contains(shown) && text.contains("leave it out"), "{text}");
    }
}
