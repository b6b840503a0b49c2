//! Colours and markers.

use plotly::common::MarkerSymbol;

use crate::measure::Provenance;

/// The palette of Okabe and Ito (2008), which colour-blind readers can tell apart; without yellow, which is lost on white, and
/// without black, which is lost on a dark page.
const PALETTE: [&str; 6] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

/// Readable on white and on black.
pub(super) const TEXT: &str = "#808080";

/// Lines of the grid, behind the data on any background.
pub(super) const GRID: &str = "rgba(128,128,128,0.25)";

/// Height of a figure in pixels; its width follows the notebook's column.
pub(super) const HEIGHT: usize = 440;

/// The colour of the series with this number; they repeat after six.
pub(super) fn colour(series: usize) -> &'static str {
    PALETTE[series % PALETTE.len()]
}

/// Diameter of a marker in pixels. Open circles are wider, so that they show around a replayed point at the same place.
pub(super) fn marker_size(provenance: Provenance) -> usize {
    if provenance == Provenance::Emulated { 15 } else { 10 }
}

/// Filled circle: measured; open circle: emulated; diamond: replayed; cross: published.
pub(super) fn marker(provenance: Provenance) -> MarkerSymbol {
    match provenance {
        Provenance::Measured => MarkerSymbol::Circle,
        Provenance::Emulated => MarkerSymbol::CircleOpen,
        Provenance::Replayed => MarkerSymbol::Diamond,
        Provenance::Published => MarkerSymbol::Cross,
    }
}
