//! Tables that may be larger than memory: made from a seed, written, read in several ways, aggregated, learned from.
//!
//! - [`Table`]: which rows, as a description from which any part of them can be made
//! - [`Store`]: such rows on disk, as one CSV file, one Parquet file, or a folder of Parquet files; or in an object store
//! - [`WriteTable`]: writing one, timed and with its memory
//! - [`Scan`]: reading a store and computing means of groups, eagerly or streaming, timed and with its memory
//! - [`Batches`]: a training run's batches from a store, a part of it in memory at a time

mod any_number;
mod batches;
mod fault;
mod group_means;
mod group_sums;
mod memory;
mod object_store;
mod parquet_file;
mod quiet;
mod rows;
mod scan;
mod scan_run;
mod shard;
mod store;
mod table;
mod write_table;
mod writer;

use std::path::Path;

use parquet_file::ParquetFile;

pub use batches::{BatchStream, Batches, Position};
pub use scan::{Filter, Reading, Scan};
pub use scan_run::{Group, ScanRun};
pub use shard::ShardBy;
pub use store::Store;
pub use table::Table;
pub use write_table::{WriteTable, WriteTableRun};
pub use writer::Layout;

/// A name that is no file's, but says where something lies in an object store or on the web.
fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| path.contains("://"))
}
