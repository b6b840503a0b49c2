//! A figure in words and columns.

use super::data::Figure;
use crate::display::{Table, chosen, significant};

/// The title, the points as a table, then the curves and marks, one sentence each.
pub(super) fn describe(figure: &Figure) -> String {
    let mut table = Table::new(
        figure.title.as_str(),
        [figure.x_label.as_str(), figure.y_label.as_str(), "95 % interval", "series", "origin"],
    );
    for points in &figure.points {
        for (x, y) in points.xs.iter().zip(&points.ys) {
            table = table.row([
                chosen(*x),
                significant(y.median),
                format!("{} to {}", significant(y.low), significant(y.high)),
                points.name.clone(),
                format!("{} {}", points.provenance.sign(), points.provenance.label()),
            ]);
        }
    }
    for line in &figure.lines {
        if let (Some((first_x, first_y)), Some((last_x, last_y))) =
            (line.xs.first().zip(line.ys.first()), line.xs.last().zip(line.ys.last()))
        {
            table = table.note(format!(
                "Curve \"{}\": from {} at {} to {} at {}.",
                line.name,
                significant(*first_y),
                chosen(*first_x),
                significant(*last_y),
                chosen(*last_x)
            ));
        }
    }
    for mark in &figure.marks {
        table = table.note(format!("Vertical mark at {}: {}.", chosen(mark.x), mark.label));
    }
    let hidden = not_drawable(figure);
    if hidden > 0 {
        table = table
            .note(format!("{hidden} points at or below zero have no place on a logarithmic axis and are not drawn."));
    }
    table.to_string()
}

/// How many points a logarithmic axis can't show.
fn not_drawable(figure: &Figure) -> usize {
    let hidden = |x: f64, y: f64| (figure.log_x && x <= 0.0) || (figure.log_y && y <= 0.0);
    figure
        .points
        .iter()
        .flat_map(|points| points.xs.iter().zip(&points.ys))
        .filter(|(x, y)| hidden(**x, y.median))
        .count()
}
