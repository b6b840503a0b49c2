//! A figure as a picture that needs no script: for exported pages, for reading offline, for pages that block scripts.

use std::fmt::Write;

use super::axis::{Axis, ticks};
use super::data::{Figure, Points};
use super::style::{GRID, HEIGHT, TEXT, colour, marker_size};
use crate::display::{chosen, escape};
use crate::measure::Provenance;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 56.0;
/// Below the plotting area: tick labels, the axis label, and a line for each entry of the legend.
const BOTTOM: f64 = 56.0;
const LEGEND_LINE: f64 = 18.0;

/// The picture as an `svg` element that scales with its column.
pub(super) fn draw(figure: &Figure) -> String {
    let paper = Paper::new(figure);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\" \
         style=\"width:100%;max-width:{WIDTH}px\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{TEXT}\">",
        paper.bottom + BOTTOM + LEGEND_LINE * legend(figure).len() as f64,
        escape(&figure.title),
    );
    text(&mut svg, LEFT, 22.0, "start", "font-size=\"16\"", &figure.title);
    paper.grid(&mut svg, figure);
    for line in &figure.lines {
        paper.curve(&mut svg, &line.xs, &line.ys, colour(figure.place(&line.name)));
    }
    for points in &figure.points {
        paper.points(&mut svg, points, colour(figure.place(&points.name)));
    }
    for mark in &figure.marks {
        if let Some(x) = paper.x(mark.x) {
            stroke(&mut svg, (x, TOP), (x, paper.bottom), TEXT, "stroke-dasharray=\"6 4\"");
            text(&mut svg, x, TOP - 6.0, "middle", "", &mark.label);
        }
    }
    for (entry, (name, provenance, colour)) in legend(figure).into_iter().enumerate() {
        let y = paper.bottom + BOTTOM + LEGEND_LINE * entry as f64;
        match provenance {
            Some(provenance) => marker(&mut svg, LEFT + 10.0, y - 4.0, provenance, colour),
            None => stroke(&mut svg, (LEFT, y - 4.0), (LEFT + 20.0, y - 4.0), colour, "stroke-width=\"2\""),
        }
        text(&mut svg, LEFT + 30.0, y, "start", "", &name);
    }
    svg.push_str("</svg>");
    svg
}

/// What the legend lists: name, marker or line, colour.
fn legend(figure: &Figure) -> Vec<(String, Option<Provenance>, &'static str)> {
    let points = figure
        .points
        .iter()
        .map(|points| (Figure::legend(points), Some(points.provenance), colour(figure.place(&points.name))));
    let lines = figure
        .lines
        .iter()
        .filter(|line| figure.points.iter().all(|points| points.name != line.name))
        .map(|line| (line.name.clone(), None, colour(figure.place(&line.name))));
    points.chain(lines).collect()
}

/// The plotting area: turns values into places.
struct Paper {
    across: Axis,
    up: Axis,
    bottom: f64,
}

impl Paper {
    fn new(figure: &Figure) -> Paper {
        let xs = figure.points.iter().flat_map(|points| points.xs.clone());
        let xs = xs.chain(figure.lines.iter().flat_map(|line| line.xs.clone()));
        let ys = figure.points.iter().flat_map(|points| points.ys.iter().flat_map(|y| [y.low, y.median, y.high]));
        let ys = ys.chain(figure.lines.iter().flat_map(|line| line.ys.clone()));
        Paper {
            across: Axis::around(xs, figure.log_x),
            up: Axis::around(ys, figure.log_y),
            bottom: HEIGHT as f64 - BOTTOM,
        }
    }

    fn x(&self, value: f64) -> Option<f64> {
        Some(LEFT + (WIDTH - LEFT - RIGHT) * self.across.share(value)?)
    }

    fn y(&self, value: f64) -> Option<f64> {
        Some(self.bottom - (self.bottom - TOP) * self.up.share(value)?)
    }

    fn grid(&self, svg: &mut String, figure: &Figure) {
        for value in ticks(&self.across) {
            if let Some(x) = self.x(value) {
                stroke(svg, (x, TOP), (x, self.bottom), GRID, "");
                text(svg, x, self.bottom + 16.0, "middle", "", &chosen(value));
            }
        }
        for value in ticks(&self.up) {
            if let Some(y) = self.y(value) {
                stroke(svg, (LEFT, y), (WIDTH - RIGHT, y), GRID, "");
                text(svg, LEFT - 6.0, y + 4.0, "end", "", &chosen(value));
            }
        }
        text(svg, (LEFT + WIDTH - RIGHT) / 2.0, self.bottom + 34.0, "middle", "", &figure.x_label);
        let middle = (TOP + self.bottom) / 2.0;
        text(svg, 16.0, middle, "middle", &format!("transform=\"rotate(-90 16 {middle:.1})\""), &figure.y_label);
    }

    fn curve(&self, svg: &mut String, xs: &[f64], ys: &[f64], colour: &str) {
        let places: Vec<String> =
            (xs.iter().zip(ys)).filter_map(|(&x, &y)| Some(format!("{:.1},{:.1}", self.x(x)?, self.y(y)?))).collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            places.join(" ")
        );
    }

    fn points(&self, svg: &mut String, points: &Points, colour: &str) {
        for (&x, y) in points.xs.iter().zip(&points.ys) {
            let (Some(x), Some(middle)) = (self.x(x), self.y(y.median)) else { continue };
            let low = self.y(y.low).unwrap_or(self.bottom);
            let high = self.y(y.high).unwrap_or(TOP);
            stroke(svg, (x, low), (x, high), colour, "stroke-width=\"1.5\"");
            for end in [low, high] {
                stroke(svg, (x - 4.0, end), (x + 4.0, end), colour, "stroke-width=\"1.5\"");
            }
            marker(svg, x, middle, points.provenance, colour);
        }
    }
}

/// The same four markers as the interactive figure.
fn marker(svg: &mut String, x: f64, y: f64, provenance: Provenance, colour: &str) {
    let radius = marker_size(provenance) as f64 / 2.0;
    let (left, right, up, down) = (x - radius, x + radius, y - radius, y + radius);
    let _ = match provenance {
        Provenance::Measured => write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"),
        Provenance::Emulated => write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ),
        Provenance::Replayed => write!(
            svg,
            "<path d=\"M{left:.1} {y:.1}L{x:.1} {up:.1}L{right:.1} {y:.1}L{x:.1} {down:.1}Z\" fill=\"{colour}\"/>"
        ),
        Provenance::Published => write!(
            svg,
            "<path d=\"M{left:.1} {y:.1}H{right:.1}M{x:.1} {up:.1}V{down:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>"
        ),
    };
}

fn stroke(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, more: &str) {
    let _ = write!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" {more}/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, more: &str, content: &str) {
    let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{}</text>", escape(content));
}
