//! The roofline: the paper's machine, SciPy's fit, and runs held against the roof.

use onramp::law::{Amdahl, Limit, Roof, Roofline, fit};
use onramp::measure::{Estimate, Provenance};

use super::{assert_like_scipy, close, exact_points, published, says};

/// Williams, Waterman and Patterson 2009: the Opteron X2 with its 17.6 billion operations per second and 15 GB/s.
fn opteron() -> Roof {
    Roof::new(Estimate::exact(17.6e9), Estimate::exact(15e9)).unwrap()
}

fn estimate(low: f64, median: f64, high: f64) -> Estimate {
    Estimate { median, low, high, samples: vec![median] }
}

#[test]
fn the_papers_machine_has_its_ridge_between_1_and_1_2_operations_per_byte() {
    assert!((opteron().ridge().median - 17.6 / 15.0).abs() < 1e-12);
    assert_eq!(opteron().attainable(0.25).median, 3.75e9);
    assert_eq!(opteron().attainable(1.64).median, 17.6e9);
}

#[test]
fn exact_points_give_peak_bandwidth_and_ridge_back() {
    let intensities = [0.125, 0.25, 0.5, 2.0, 4.0, 16.0];
    let found = fit(&Roofline, &exact_points(&intensities, |i| (15e9 * i).min(17.6e9))).unwrap();
    assert!(found.holds, "{found}");
    assert!(close(found.parameter("P").unwrap().value, 17.6e9, 1e-6), "{found}");
    assert!(close(found.parameter("B").unwrap().value, 15e9, 1e-6), "{found}");
    assert!(close(found.derived("I*").unwrap().value, 17.6 / 15.0, 1e-6), "{found}");
    let roof = Roof::fitted(&found).unwrap();
    assert!(roof.ridge().contains(17.6 / 15.0) && close(roof.attainable(0.5).median, 7.5e9, 1e-6));
}

/// SciPy 1.17:
///
/// ```python
/// f = lambda I, P, B: np.log(np.minimum(P, B * I))
/// p, c = curve_fit(f, I, np.log(R), p0=[17e9, 15e9], bounds=(0, np.inf), x_scale=[17e9, 15e9],
///                  sigma=np.full(6, .01), absolute_sigma=True, jac="3-point", ftol=1e-15, xtol=1e-15, gtol=1e-15)
/// s2 = max(1, sum(residuals ** 2) / 4);  half = sqrt(diag(c) * s2) * scipy.stats.t.ppf(.975, 4)
/// ```
#[test]
fn peak_bandwidth_and_intervals_are_those_of_scipy() {
    let points = [(0.125, 1.84e9), (0.25, 3.8e9), (0.5, 7.4e9), (4.0, 17.1e9), (8.0, 17.9e9), (16.0, 17.5e9)];
    let found = fit(&Roofline, &published(&points)).unwrap();
    assert_like_scipy(&found, &[("P", 1.74969519e+10, 5.671147e+08), ("B", 1.49051965e+10, 4.831102e+08)]);
    let ridge = found.derived("I*").unwrap();
    assert!(close(ridge.low, 1.121289, 1e-3) && close(ridge.high, 1.228943, 1e-3), "{ridge:?}");
    assert!(found.holds && found.figure().unwrap().to_string().contains("I* = 1.17"));
}

#[test]
fn a_side_without_points_is_not_trusted() {
    // All wait for memory: the peak could be anything above.
    let error = fit(&Roofline, &exact_points(&[0.1, 0.2, 0.4, 0.8, 1.0], |i| 15e9 * i));
    match error {
        Ok(found) => assert!(says(&found, "P rests on"), "{found}"),
        Err(error) => assert!(error.to_string().contains("spread x more widely"), "{error}"),
    }
    let found = fit(&Roofline, &exact_points(&[0.1, 2.0, 4.0, 8.0, 16.0], |i| (15e9 * i).min(17.6e9))).unwrap();
    assert!(says(&found, "B rests on 1 point left of the ridge point: measure computations of smaller"), "{found}");
}

#[test]
fn runs_that_a_cache_serves_do_not_follow_the_law() {
    // Intensities up to 0.5 fit into the cache, at five times the bandwidth.
    let two_levels = |i: f64| if i <= 0.5 { 75e9 * i } else { 15e9 * i }.min(50e9);
    let found = fit(&Roofline, &exact_points(&[0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0], two_levels)).unwrap();
    assert!(!found.holds && found.notes[0].contains("does NOT hold"), "{found}");
}

#[test]
fn each_run_gets_its_limit_and_its_share_of_the_roof() {
    let place = |name: &str, intensity: f64, reached: f64| {
        opteron().place(name, intensity, Estimate::exact(reached), Provenance::Measured).unwrap()
    };
    let runs = [place("SpMV", 0.25, 1.5e9), place("matrix product", 8.0, 13.2e9), place("copy", 0.1, 3e9)];
    assert_eq!(runs.each_ref().map(|run| run.limit), [Limit::Memory, Limit::Compute, Limit::Memory]);
    assert!(close(runs[0].share.median, 0.4, 1e-9) && close(runs[1].share.median, 0.75, 1e-9));
    assert_eq!(
        runs[0].to_string(),
        "SpMV is memory-bound and reaches 40 % of the roof (1.50e9 of 3.75e9 operations/s)"
    );
    let table = opteron().table(&runs).to_string();
    assert!(table.contains("Ridge point: 1.17") && table.contains("\"copy\" lies above the roof"), "{table}");
    assert!(!table.contains("\"SpMV\" lies above"), "{table}");
    let figure = opteron().figure(&runs).unwrap().to_string();
    assert!(
        figure.contains("matrix product") && figure.contains("Curve \"roof\"") && figure.contains("I* = 1.17"),
        "{figure}"
    );
}

#[test]
fn an_uncertain_ridge_leaves_a_run_beside_it_undecided() {
    let roof = Roof::new(estimate(16e9, 17.6e9, 19e9), estimate(13e9, 15e9, 16e9)).unwrap();
    let ridge = roof.ridge();
    assert!(close(ridge.low, 1.0, 1e-9) && close(ridge.high, 19.0 / 13.0, 1e-9));
    let limit =
        |intensity: f64| roof.place("run", intensity, Estimate::exact(1e9), Provenance::Measured).unwrap().limit;
    assert_eq!([0.9, 1.2, 1.5].map(limit), [Limit::Memory, Limit::Ridge, Limit::Compute]);
    let share = roof.place("run", 8.0, estimate(7e9, 8e9, 9e9), Provenance::Measured).unwrap().share;
    assert!(close(share.low, 7.0 / 19.0, 1e-9) && close(share.high, 9.0 / 16.0, 1e-9));
}

#[test]
fn a_roof_or_a_run_of_nothing_is_refused_with_its_value() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let shown = format!("is {bad}");
        let text = Roof::new(Estimate::exact(bad), Estimate::exact(15e9)).unwrap_err().to_string();
        assert!(text.contains("the peak") && text.contains(&shown) && text.contains("above 0"), "{text}");
        let text = Roof::new(Estimate::exact(1e9), Estimate::exact(bad)).unwrap_err().to_string();
        assert!(text.contains("the memory bandwidth") && text.contains(&shown), "{text}");
        let text = opteron().place("copy", bad, Estimate::exact(1e9), Provenance::Measured).unwrap_err().to_string();
        assert!(text.contains("intensity of \"copy\"") && text.contains(&shown), "{text}");
    }
    let other = fit(&Amdahl, &exact_points(&[2.0, 4.0, 8.0], |n| n / 1.5)).unwrap();
    assert!(Roof::fitted(&other).unwrap_err().to_string().contains("\"P\""));
}
