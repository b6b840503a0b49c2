//! A figure for plotly.js, which JupyterLab draws and lets the reader zoom.

use plotly::common::{Anchor, DashType, ErrorData, ErrorType, Font, Line as Stroke, Marker, Mode, Orientation, Title};
use plotly::layout::{Annotation, Axis, AxisType, Legend, Margin, RangeMode, Shape, ShapeLine, ShapeType};
use plotly::{Configuration, Layout, Plot, Scatter};
use serde_json::Value;

use super::data::{Figure, Line, Mark, Points};
use super::style::{GRID, HEIGHT, TEXT, colour, marker, marker_size};
use crate::display::chosen;

/// Nothing behind the figure, so that the page's own background, light or dark, shows.
const TRANSPARENT: &str = "rgba(0,0,0,0)";

/// The figure as the object with `data`, `layout` and `config` that plotly.js takes.
pub(super) fn json(figure: &Figure) -> Value {
    let mut plot = Plot::new();
    for line in &figure.lines {
        plot.add_trace(curve(figure, line));
    }
    for points in &figure.points {
        plot.add_trace(dots(figure, points));
    }
    plot.set_layout(layout(figure));
    plot.set_configuration(Configuration::new().responsive(true).display_logo(false));
    serde_json::to_value(&plot).unwrap_or_default()
}

fn dots(figure: &Figure, points: &Points) -> Box<Scatter<f64, f64>> {
    let colour = colour(figure.place(&points.name));
    let above = points.ys.iter().map(|y| y.high - y.median).collect();
    let below = points.ys.iter().map(|y| y.median - y.low).collect();
    let hover = (points.xs.iter().zip(&points.ys)).map(|(x, y)| format!("{}: {y}, {}", chosen(*x), points.provenance));
    Scatter::new(points.xs.clone(), points.ys.iter().map(|y| y.median).collect())
        .mode(Mode::Markers)
        .name(Figure::legend(points))
        .legend_group(points.name.as_str())
        .hover_text_array(hover.collect())
        .hover_info(plotly::common::HoverInfo::Text)
        .marker(
            Marker::new()
                .symbol(marker(points.provenance))
                .size(marker_size(points.provenance))
                .color(colour)
                .line(Stroke::new().width(2.0).color(colour)),
        )
        .error_y(
            ErrorData::new(ErrorType::Data)
                .symmetric(false)
                .array(above)
                .array_minus(below)
                .color(colour)
                .thickness(1.5)
                .width(5),
        )
}

fn curve(figure: &Figure, line: &Line) -> Box<Scatter<f64, f64>> {
    // The legend lists the points of the same name; a second entry would say nothing new.
    let alone = figure.points.iter().all(|points| points.name != line.name);
    Scatter::new(line.xs.clone(), line.ys.clone())
        .mode(Mode::Lines)
        .name(&line.name)
        .legend_group(line.name.as_str())
        .show_legend(alone)
        .line(Stroke::new().width(2.0).color(colour(figure.place(&line.name))))
}

fn layout(figure: &Figure) -> Layout {
    Layout::new()
        .title(Title::with_text(figure.title.as_str()))
        .auto_size(true)
        .height(HEIGHT)
        .font(Font::new().color(TEXT))
        .paper_background_color(TRANSPARENT)
        .plot_background_color(TRANSPARENT)
        .margin(Margin::new().left(70).right(20).top(60).bottom(60))
        .legend(
            Legend::new()
                .orientation(Orientation::Horizontal)
                .x(0.0)
                .y(-0.22)
                .y_anchor(Anchor::Top)
                .background_color(TRANSPARENT),
        )
        .show_legend(true)
        .x_axis(axis(&figure.x_label, figure.log_x))
        .y_axis(axis(&figure.y_label, figure.log_y))
        .shapes(figure.marks.iter().map(stroke).collect())
        .annotations(figure.marks.iter().map(|mark| label(mark, figure.log_x)).collect())
}

/// An axis with its label; a linear one starts at zero, so that a difference looks as large as it is.
fn axis(label: &str, log: bool) -> Axis {
    let axis = Axis::new()
        .title(Title::with_text(label))
        .grid_color(GRID)
        .zero_line_color(GRID)
        .line_color(GRID)
        .auto_margin(true);
    if log { axis.type_(AxisType::Log) } else { axis.range_mode(RangeMode::ToZero) }
}

fn stroke(mark: &Mark) -> Shape {
    Shape::new()
        .shape_type(ShapeType::Line)
        .x_ref("x")
        .y_ref("paper")
        .x0(mark.x)
        .x1(mark.x)
        .y0(0.0)
        .y1(1.0)
        .line(ShapeLine::new().color(TEXT).width(1.5).dash(DashType::Dash))
}

fn label(mark: &Mark, log_x: bool) -> Annotation {
    // On a logarithmic axis plotly.js places shapes by value but annotations by its logarithm.
    let place = if log_x { mark.x.log10() } else { mark.x };
    Annotation::new()
        .x_ref("x")
        .y_ref("paper")
        .x(place)
        .y(1.0)
        .y_anchor(Anchor::Bottom)
        .text(mark.label.as_str())
        .show_arrow(false)
        .font(Font::new().color(TEXT))
}
