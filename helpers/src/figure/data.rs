//! The data of a figure.

use serde::{Deserialize, Serialize};

use super::{plotly, svg, text};
use crate::Error;
use crate::display::{Bundle, Shown, escape};
use crate::measure::{Estimate, Provenance};
use crate::published::Series;

/// Points with intervals, curves and vertical marks over two labelled axes.
///
/// ```
/// use onramp::figure::Figure;
/// use onramp::measure::{Estimate, Provenance};
///
/// let times = [Estimate::from_samples(vec![1.0, 1.1, 1.2])?, Estimate::from_samples(vec![2.0, 2.1, 2.3])?];
/// let figure = Figure::new("Step time")
///     .x_label("rows in a step")
///     .y_label("step time in ms")
///     .points("this machine", Provenance::Measured, &[8.0, 32.0], &times)?;
/// assert!(figure.to_string().contains("this machine"));
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) log_x: bool,
    pub(super) log_y: bool,
    pub(super) points: Vec<Points>,
    pub(super) lines: Vec<Line>,
    pub(super) marks: Vec<Mark>,
    /// Names in the order in which they first came; the place is the colour, so a line and the points of the same
    /// name share one.
    names: Vec<String>,
}

/// Points of one kind and origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Points {
    pub(super) name: String,
    pub(super) provenance: Provenance,
    pub(super) xs: Vec<f64>,
    pub(super) ys: Vec<Estimate>,
}

/// A curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) xs: Vec<f64>,
    pub(super) ys: Vec<f64>,
}

/// A vertical line with a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) label: String,
}

impl Figure {
    /// An empty figure.
    pub fn new(title: impl Into<String>) -> Figure {
        Figure {
            title: title.into(),
            x_label: String::new(),
            y_label: String::new(),
            log_x: false,
            log_y: false,
            points: Vec::new(),
            lines: Vec::new(),
            marks: Vec::new(),
            names: Vec::new(),
        }
    }

    /// What the horizontal axis shows, with its unit.
    pub fn x_label(mut self, label: impl Into<String>) -> Figure {
        self.x_label = label.into();
        self
    }

    /// What the vertical axis shows, with its unit.
    pub fn y_label(mut self, label: impl Into<String>) -> Figure {
        self.y_label = label.into();
        self
    }

    /// Makes the horizontal axis logarithmic: equal distances are equal factors.
    pub fn log_x(mut self) -> Figure {
        self.log_x = true;
        self
    }

    /// Makes the vertical axis logarithmic.
    pub fn log_y(mut self) -> Figure {
        self.log_y = true;
        self
    }

    /// Adds points with their intervals; the marker shows where they came from.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there are not as many `xs` as `ys`, or a number is not finite.
    pub fn points(
        mut self,
        name: impl Into<String>,
        provenance: Provenance,
        xs: &[f64],
        ys: &[Estimate],
    ) -> Result<Figure, Error> {
        let name = self.remember(name.into());
        let ends: Vec<f64> = ys.iter().flat_map(|y| [y.low, y.median, y.high]).collect();
        refuse(&name, xs, ys.len(), &ends)?;
        self.points.push(Points { name, provenance, xs: xs.to_vec(), ys: ys.to_vec() });
        Ok(self)
    }

    /// Adds a curve. Given the name of a points series, it takes that series' colour.
    ///
    /// # Errors
    /// As [`Figure::points`].
    pub fn line(mut self, name: impl Into<String>, xs: &[f64], ys: &[f64]) -> Result<Figure, Error> {
        let name = self.remember(name.into());
        refuse(&name, xs, ys.len(), ys)?;
        self.lines.push(Line { name, xs: xs.to_vec(), ys: ys.to_vec() });
        Ok(self)
    }

    /// Adds a published curve as crosses; the legend names its source.
    ///
    /// # Errors
    /// As [`Figure::points`].
    pub fn published(self, series: &Series) -> Result<Figure, Error> {
        let ys: Vec<Estimate> = series.ys.iter().copied().map(Estimate::exact).collect();
        let name = format!("{}; published: {}", series.title, series.source);
        self.points(name, Provenance::Published, &series.xs, &ys)
    }

    /// Adds a vertical line at `x` with a label. A place that the axis can't show is left out.
    pub fn vertical(mut self, x: f64, label: impl Into<String>) -> Figure {
        if x.is_finite() {
            self.marks.push(Mark { x, label: label.into() });
        }
        self
    }

    /// The picture alone, as an `svg` element.
    pub(crate) fn svg(&self) -> String {
        svg::draw(self)
    }

    /// Shows the figure in a notebook; called by the kernel for a cell's last value.
    pub fn evcxr_display(&self) {
        self.bundle().emit();
    }

    /// A picture that is always there, replaced by the interactive figure where the page has plotly.js loaded. The numbers
    /// stand below, folded.
    fn html(&self, plotly: &serde_json::Value) -> String {
        // "</" would end the script element inside a string of the JSON.
        let json = plotly.to_string().replace("</", "<\\/");
        format!(
            "<div class=\"onramp-figure\">{picture}<details><summary>The numbers of this figure</summary><pre>{numbers}</pre></details></div>\
             <script>(function () {{\n\
             const figure = {json};\n\
             const picture = document.currentScript && document.currentScript.previousElementSibling &&\n\
               document.currentScript.previousElementSibling.querySelector(\"svg\");\n\
             if (!window.Plotly || !picture) {{ return; }}\n\
             const target = document.createElement(\"div\");\n\
             picture.replaceWith(target);\n\
             window.Plotly.newPlot(target, figure.data, figure.layout, figure.config);\n\
             }})();</script>",
            picture = self.svg(),
            numbers = escape(&self.to_string()),
        )
    }

    /// The place of a name among all names, which is its colour.
    pub(super) fn place(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap_or(0)
    }

    /// What the legend says about points: the name, and the origin unless the name says it already.
    pub(super) fn legend(points: &Points) -> String {
        let label = points.provenance.label();
        if points.name.contains(label) { points.name.clone() } else { format!("{} ({label})", points.name) }
    }

    fn remember(&mut self, name: String) -> String {
        if !self.names.contains(&name) {
            self.names.push(name.clone());
        }
        name
    }
}

impl Shown for Figure {
    fn bundle(&self) -> Bundle {
        let plotly = plotly::json(self);
        Bundle::new().html(self.html(&plotly)).text(self.to_string()).plotly(plotly)
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text::describe(self))
    }
}

fn refuse(name: &str, xs: &[f64], count: usize, values: &[f64]) -> Result<(), Error> {
    if xs.len() != count {
        return Err(Error::InvalidInput(format!(
            "the series \"{name}\" has {} values of x and {count} of y; give as many of one as of the other",
            xs.len()
        )));
    }
    match xs.iter().chain(values).find(|value| !value.is_finite()) {
        None => Ok(()),
        Some(bad) => Err(Error::InvalidInput(format!(
            "the series \"{name}\" contains {bad}, which can't be drawn; look at the measurement it came from"
        ))),
    }
}
