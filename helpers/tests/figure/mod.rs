//! Figures: the data is in every form, and the origin of the data shows.

use onramp::display::Shown;
use onramp::figure::Figure;
use onramp::measure::{Estimate, Provenance};
use onramp::published::{all, series};
use serde_json::Value;

fn estimate(low: f64, median: f64, high: f64) -> Estimate {
    Estimate { median, low, high, samples: vec![low, median, high] }
}

fn figure() -> Figure {
    let mut figure = Figure::new("Efficiency </script>").x_label("rows per worker").y_label("efficiency, %").log_x();
    for provenance in Provenance::ALL {
        let ys = [estimate(0.1, 0.2, 0.4), estimate(0.5, 0.75, 0.8)];
        figure = figure.points(format!("series {}", provenance.sign()), provenance, &[8.0, 512.0], &ys).unwrap();
    }
    figure.line("law", &[8.0, 512.0], &[0.25, 0.7]).unwrap().vertical(64.0, "b* = 64")
}

fn plotly(figure: &Figure) -> Value {
    figure.bundle().get("application/vnd.plotly.v1+json").unwrap().clone()
}

#[test]
fn the_plotly_form_has_the_data_the_intervals_and_a_marker_for_each_origin() {
    let json = plotly(&figure());
    let traces = json["data"].as_array().unwrap();
    let points: Vec<&Value> = traces.iter().filter(|trace| trace["mode"] == "markers").collect();
    let symbols: Vec<&str> = points.iter().map(|trace| trace["marker"]["symbol"].as_str().unwrap()).collect();
    assert_eq!(symbols, ["circle", "circle-open", "diamond", "cross"]);
    for (trace, label) in points.iter().zip(["measured", "emulated", "replayed", "published"]) {
        assert_eq!(trace["x"], serde_json::json!([8.0, 512.0]));
        assert_eq!(trace["y"], serde_json::json!([0.2, 0.75]));
        assert_eq!(trace["error_y"]["array"], serde_json::json!([0.4 - 0.2, 0.8 - 0.75]));
        assert_eq!(trace["error_y"]["arrayminus"], serde_json::json!([0.2 - 0.1, 0.75 - 0.5]));
        assert!(trace["name"].as_str().unwrap().ends_with(&format!("({label})")), "{}", trace["name"]);
    }
    let line = traces.iter().find(|trace| trace["mode"] == "lines").unwrap();
    assert_eq!(line["y"], serde_json::json!([0.25, 0.7]));
}

#[test]
fn the_plotly_layout_has_axes_with_units_and_no_background() {
    let layout = &plotly(&figure())["layout"];
    assert_eq!(layout["xaxis"]["title"]["text"], "rows per worker");
    assert_eq!(layout["xaxis"]["type"], "log");
    assert_eq!(layout["yaxis"]["title"]["text"], "efficiency, %");
    assert_eq!(layout["paper_bgcolor"], "rgba(0,0,0,0)");
    assert_eq!(layout["plot_bgcolor"], "rgba(0,0,0,0)");
    assert_eq!(layout["legend"]["orientation"], "h");
    assert_eq!(layout["shapes"][0]["x0"], 64.0);
    let place = layout["annotations"][0]["x"].as_f64().unwrap();
    assert!((place - 64f64.log10()).abs() < 1e-12, "{place}");
    assert!(layout.get("width").is_none(), "the width follows the notebook's column");
}

#[test]
fn a_line_shares_the_colour_of_the_points_with_its_name() {
    let ys = [estimate(1.0, 1.0, 1.0)];
    let figure = Figure::new("t")
        .points("a", Provenance::Measured, &[1.0], &ys)
        .and_then(|figure| figure.points("b", Provenance::Measured, &[1.0], &ys))
        .and_then(|figure| figure.line("b", &[1.0, 2.0], &[1.0, 2.0]))
        .unwrap();
    let json = plotly(&figure);
    let colour = |name: &str, mode: &str, part: &str| {
        let traces = json["data"].as_array().unwrap().iter();
        let trace = traces.into_iter().find(|trace| trace["mode"] == mode && trace["legendgroup"] == name).unwrap();
        trace[part]["color"].clone()
    };
    assert_eq!(colour("b", "lines", "line"), colour("b", "markers", "marker"));
    assert_ne!(colour("a", "markers", "marker"), colour("b", "markers", "marker"));
}

#[test]
fn the_html_form_draws_without_any_address_outside_the_page() {
    let html = figure().bundle().get("text/html").unwrap().as_str().unwrap().to_owned();
    assert!(html.contains("<svg") && html.contains("window.Plotly"));
    let addresses: Vec<&str> = html.split("http").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(addresses, ["://www.w3.org/2000/svg"], "only the name of the SVG namespace");
    assert!(!html.contains("require(") && !html.contains(" src="));
    assert_eq!(html.matches("</script>").count(), 1, "a title can't end the script");
    assert_eq!(html.matches("<circle").count(), 2 * 3, "two filled and two open circles, and their legend entries");
    assert!(html.contains("b* = 64") && html.contains("rows per worker") && html.contains("0.750"));
}

#[test]
fn the_text_form_names_every_number_with_its_origin() {
    let text = figure().to_string();
    for wanted in
        ["rows per worker", "efficiency, %", "512", "0.750", "0.500 to 0.800", "◆ replayed", "✚ published", "b* = 64"]
    {
        assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
    }
    assert!(text.contains("Curve \"law\": from 0.250 at 8 to 0.700 at 512."), "{text}");
}

#[test]
fn points_that_a_logarithmic_axis_can_not_show_are_counted() {
    let ys = [estimate(0.0, 0.0, 0.0), estimate(1.0, 1.0, 1.0)];
    let figure = Figure::new("t").log_y().points("a", Provenance::Measured, &[1.0, 2.0], &ys).unwrap();
    assert!(figure.to_string().contains("1 points at or below zero"), "{figure}");
    assert!(figure.bundle().get("text/html").is_some());
}

#[test]
fn series_that_can_not_be_drawn_are_refused_with_the_reason() {
    let ys = [estimate(1.0, 1.0, 1.0)];
    let error = Figure::new("t").points("a", Provenance::Measured, &[1.0, 2.0], &ys).unwrap_err().to_string();
    assert!(error.contains("2 values of x and 1 of y"), "{error}");
    assert!(Figure::new("t").line("a", &[1.0], &[f64::NAN]).is_err());
    assert!(
        Figure::new("t").points("a", Provenance::Measured, &[1.0], &[estimate(f64::NEG_INFINITY, 1.0, 1.0)]).is_err()
    );
}

#[test]
fn an_empty_figure_is_still_a_figure() {
    let bundle = Figure::new("nothing yet").bundle();
    assert!(bundle.get("text/html").unwrap().as_str().unwrap().contains("nothing yet"));
}

#[test]
fn a_figure_survives_serde() {
    let figure = figure();
    let again: Figure = serde_json::from_value(serde_json::to_value(&figure).unwrap()).unwrap();
    assert_eq!(again, figure);
}

#[test]
fn published_curves_carry_their_source_into_the_figure() {
    let published = series("ultrascale-dp").unwrap().relative_to_first().unwrap();
    assert_eq!(published.ys[0], 1.0);
    assert!((published.ys[5] - 15700.0 / 40150.0).abs() < 1e-12);
    let figure = Figure::new("t").log_x().published(&published).unwrap();
    let trace = &plotly(&figure)["data"][0];
    assert_eq!(trace["marker"]["symbol"], "cross");
    assert!(trace["name"].as_str().unwrap().contains("Ultra-Scale Playbook"), "{}", trace["name"]);
}

#[test]
fn every_published_series_can_be_read_and_names_its_source() {
    let all = all().unwrap();
    assert!(all.len() >= 3);
    for series in &all {
        assert!(!series.source.is_empty() && series.xs.len() == series.ys.len(), "{}", series.id);
        assert!(series.table().to_string().contains(&series.source));
    }
    let error = series("ultrascale").unwrap_err().to_string();
    assert!(error.contains("\"ultrascale\"") && error.contains("ultrascale-dp"), "{error}");
}
