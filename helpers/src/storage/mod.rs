//! Tables that may be larger than memory: made from a seed, written, read in several ways, aggregated, learned from.
//!
//! - [`Table`]: which rows, as a description from which any part of them can be made
//! - [`Store`]: such rows on disk, as one CSV file, one Parquet file, or a folder of Parquet files
//! - [`WriteTable`]: writing one, timed and with its memory
//! - [`Scan`]: reading a store and computing means of groups, eagerly or streaming, timed and with its memory
//! - [`Batches`]: a training run's batches from a store, a part of it in memory at a time

mod batches;
mod fault;
mod memory;
mod scan;
mod store;
mod table;
mod write_table;
mod writer;

pub use batches::{BatchStream, Batches, Position};
pub use scan::{Filter, Group, Reading, Scan, ScanRun};
pub use store::Store;
pub use table::Table;
pub use write_table::{WriteTable, WriteTableRun};
pub use writer::Layout;
