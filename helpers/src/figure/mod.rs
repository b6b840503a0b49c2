//! Figures: points with intervals, curves, and marks, with the origin of every number visible.
//!
//! - [`Figure`]: the data of a figure, apart from how it is drawn
//! - `plotly`: the interactive drawing, shown by JupyterLab
//! - `svg`: the same figure as a picture, for exported pages without any script
//! - `text`: the same figure in words and columns
//! - `style`: colours and markers, the same for all three

mod axis;
mod data;
mod plotly;
mod style;
mod svg;
mod text;

pub use data::Figure;
