//! Data to learn from: synthetic rows and texts of any size, real handwritten digits, the learner's own file.

mod dataset;
pub mod digits;
pub mod file;
pub(crate) mod request_log;
mod source;
pub(crate) mod teacher;
mod text;

pub(crate) use dataset::shuffled_rows;
pub use dataset::{Batch, Dataset, Split};
pub use request_log::{Arrivals, Request, RequestLog};
pub use source::Source;
pub use teacher::Teacher;
pub use text::Text;
