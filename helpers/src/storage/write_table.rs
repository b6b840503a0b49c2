//! Writing a table as an experiment: how long it takes, and that it needs no memory for its rows.

use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Layout, Store, Table, memory};
use crate::display::{Table as Shown, significant};
use crate::error::Result;

/// Writes a table, timed.
///
/// ```
/// use onramp::prelude::*;
///
/// # let folder = std::env::temp_dir().join(format!("onramp-example-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("rows.csv");
/// let run = WriteTable::new(path, Teacher::new(1_000).columns(4), Layout::Csv).run()?;
/// assert!(run.bytes > 30_000);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteTable {
    path: PathBuf,
    table: Table,
    layout: Layout,
}

/// The result of [`WriteTable::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteTableRun {
    /// What was written.
    pub experiment: WriteTable,
    /// Bytes of all files.
    pub bytes: u64,
    /// Seconds; files that were there already take none.
    pub seconds: f64,
    /// The most memory that this process had for itself meanwhile, in bytes.
    pub peak_memory_bytes: u64,
    /// Memory that was in use before.
    pub memory_before_bytes: u64,
}

impl WriteTable {
    /// This table in this layout, at `path`.
    pub fn new(path: impl Into<PathBuf>, table: impl Into<Table>, layout: Layout) -> Self {
        Self { path: path.into(), table: table.into(), layout }
    }

    /// Writes.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub fn run(&self) -> Result<WriteTableRun> {
        let memory = memory::Watch::start()?;
        let start = Instant::now();
        let store = Store::write(&self.path, self.table, self.layout)?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes = store.bytes()?;
        let (memory_before_bytes, peak_memory_bytes) = memory.finish();
        Ok(WriteTableRun { experiment: self.clone(), bytes, seconds, peak_memory_bytes, memory_before_bytes })
    }
}

impl WriteTableRun {
    /// The run in a few lines.
    pub fn table(&self) -> Shown {
        let megabytes = |bytes: u64| significant(bytes as f64 / 1e6);
        Shown::new("A table on the disk", ["what", "value"])
            .row(["rows".to_string(), self.experiment.table.to_string()])
            .row(["place".to_string(), self.experiment.path.display().to_string()])
            .row(["MB".to_string(), megabytes(self.bytes)])
            .row(["seconds".to_string(), significant(self.seconds)])
            .row(["most memory, MB".to_string(), megabytes(self.peak_memory_bytes)])
            .row(["memory before, MB".to_string(), megabytes(self.memory_before_bytes)])
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}
