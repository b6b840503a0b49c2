//! Data to learn from: synthetic rows and texts of any size, and real handwritten digits.

mod dataset;
pub mod digits;
mod source;
mod teacher;
mod text;

pub(crate) use dataset::shuffled_rows;
pub use dataset::{Batch, Dataset, Split};
pub use source::Source;
pub use teacher::Teacher;
pub use text::Text;
