//! How results reach the reader: as a page in Jupyter, as text everywhere else.
//!
//! - [`Bundle`]: one result in several forms (HTML, plot, text) and the protocol that carries it
//! - [`display`], [`clear_output`]: results that are shown while a cell runs, and change in place
//! - [`progress`], [`Progress`]: how far a loop or a long call is
//! - [`Table`]: rows and columns, as HTML and as aligned text; `Table::from(&frame)` shows a polars data frame
//! - [`significant`], [`chosen`]: measured numbers with as many digits as a reader can use, chosen ones as they are

mod bundle;
mod frame;
mod live;
mod number;
mod progress;
mod table;

pub use bundle::Bundle;
pub(crate) use bundle::is_live;
pub use live::{Live, Shown, clear_output, display};
pub use number::{chosen, significant};
pub use progress::{Progress, WithProgress, progress};
pub use table::Table;
pub(crate) use table::escape;
