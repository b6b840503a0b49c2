//! The result of reading a table.

use serde::{Deserialize, Serialize};

use super::{Scan, ShardBy, any_number};
use crate::display::{Table as Shown, significant};

/// One group's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The value of the column that the rows were grouped by, rounded where it is a whole number beyond 2^53; 0 where they were
    /// not grouped, and not a number where it is missing.
    #[serde(with = "any_number")]
    pub key: f64,
    /// Rows in the group.
    pub rows: u64,
    /// Means of the columns, in the order in which they were asked for; what is missing is left out.
    #[serde(with = "any_number::list")]
    pub means: Vec<f64>,
}

/// The result of [`Scan::run`] and [`Scan::run_on`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRun {
    /// What was read.
    pub scan: Scan,
    /// What workers share, if it was one worker's part.
    pub shared_by: Option<ShardBy>,
    /// The groups, in the order of their keys.
    pub groups: Vec<Group>,
    /// Seconds from before the first byte was read.
    pub seconds: f64,
    /// The most memory that this process had for itself meanwhile, in bytes: without pages of mapped files, which the system
    /// takes back when it needs them. It is the scan's alone in a fresh process ([`crate::experiment::in_fresh_process`]).
    pub peak_memory_bytes: u64,
    /// Memory that was in use before.
    pub memory_before_bytes: u64,
}

impl ScanRun {
    /// Rows that were counted.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// The groups, and what they cost.
    pub fn table(&self) -> Shown {
        let means = self.scan.mean_of.iter().map(|column| format!("mean of {column}"));
        let columns = ["group".to_string(), "rows".to_string()].into_iter().chain(means);
        let table = self.groups.iter().fold(Shown::new("Means of groups", columns), |table, group| {
            let means = group.means.iter().map(|mean| significant(*mean));
            table.row([group.key.to_string(), group.rows.to_string()].into_iter().chain(means))
        });
        let table = match self.shared_by {
            Some(unit) => table.note(self.scan.part(unit)),
            None => table,
        };
        let megabytes = |bytes: u64| significant(bytes as f64 / 1e6);
        table.note(format!(
            "{} rows in {} s; the process had at most {} MB in memory, {} MB before.",
            self.rows(),
            significant(self.seconds),
            megabytes(self.peak_memory_bytes),
            megabytes(self.memory_before_bytes)
        ))
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}
