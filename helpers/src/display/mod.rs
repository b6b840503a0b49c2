//! How results reach the reader: as a page in Jupyter, as text everywhere else.
//!
//! - [`Bundle`]: one result in several forms (HTML, plot, text) and the protocol that carries it
//! - [`Table`]: rows and columns, as HTML and as aligned text
//! - [`significant`], [`chosen`]: measured numbers with as many digits as a reader can use, chosen ones as they are

mod bundle;
mod number;
mod table;

pub use bundle::Bundle;
pub use number::{chosen, significant};
pub use table::Table;
pub(crate) use table::escape;
