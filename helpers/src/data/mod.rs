//! Data to learn from: a synthetic set of any size, and real handwritten digits.

mod dataset;
pub mod digits;
mod source;
mod teacher;

pub(crate) use dataset::shuffled_rows;
pub use dataset::{Batch, Dataset, Split};
pub use source::Source;
pub use teacher::Teacher;
