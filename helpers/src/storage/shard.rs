//! Which part of a table a worker reads.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ParquetFile, Store};
use crate::error::{Error, Result};

/// What a table is cut into for several workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardBy {
    /// Whole files.
    Files,
    /// Row groups of Parquet files, so that one file can be shared.
    RowGroups,
}

/// Worker `rank` of `world_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shard {
    pub(super) rank: usize,
    pub(super) world_size: usize,
    /// None where the reader chooses.
    #[serde(default)]
    pub(super) shard_by: Option<ShardBy>,
}

/// What that worker reads.
pub(super) struct Share {
    pub(super) files: Vec<PathBuf>,
    /// Which of the rows of these files together; none for all.
    pub(super) rows: Option<Range<usize>>,
    /// None for a table that is not shared.
    pub(super) by: Option<ShardBy>,
}

impl Shard {
    /// All of it.
    pub(super) const WHOLE: Self = Self { rank: 0, world_size: 1, shard_by: None };

    /// # Errors
    /// [`Error::InvalidInput`] for a rank that is none, and fewer of what is shared than workers.
    pub(super) fn check(self, count: usize, by: ShardBy) -> Result<()> {
        let Self { rank, world_size, .. } = self;
        if rank < world_size && world_size <= count {
            return Ok(());
        }
        let (units, remedy) = match by {
            ShardBy::Files => ("files", "share it by row groups"),
            ShardBy::RowGroups => ("row groups", "write more of them"),
        };
        Err(Error::invalid(format!(
            "shard {rank} of {world_size} can't be cut from {count} {units}; ranks run from 0 to one below the number of \
             workers, and each worker needs one of the {units}: use fewer workers, or {remedy}"
        )))
    }

    /// Every `world_size`-th file, or consecutive row groups: by what was asked for, or else by file where there are enough.
    ///
    /// # Errors
    /// As for [`Shard::check`]; [`Error::InvalidInput`] for row groups of CSV, which has none; [`Error::Data`] for a file whose
    /// footer can't be read.
    pub(super) fn share(self, store: &Store) -> Result<Share> {
        let Self { rank, world_size, shard_by } = self;
        let files = store.files();
        if (rank, world_size, shard_by) == (0, 1, None) {
            return Ok(Share { files: files.to_vec(), rows: None, by: None });
        }
        let enough = files.len() >= world_size;
        match shard_by.unwrap_or(if enough { ShardBy::Files } else { ShardBy::RowGroups }) {
            by @ ShardBy::Files => {
                self.check(files.len(), by)?;
                let files = files.iter().skip(rank).step_by(world_size).cloned().collect();
                Ok(Share { files, rows: None, by: Some(by) })
            }
            ShardBy::RowGroups if store.is_csv() => Err(Error::invalid(format!(
                "shard {rank} of {world_size} can't be cut from {} CSV files: CSV has no row groups and is shared by whole \
                 files; use at most that many workers, or write the table as Parquet",
                files.len()
            ))),
            ShardBy::RowGroups => self.consecutive(store),
        }
    }

    /// Row groups that follow each other, so that they are one piece of the table.
    fn consecutive(self, store: &Store) -> Result<Share> {
        let (by, files) = (ShardBy::RowGroups, store.files());
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let footer = ParquetFile::new(file, store).footer()?;
            groups.extend(footer.groups.into_iter().map(|(_, rows)| (number, rows)));
        }
        self.check(groups.len(), by)?;
        let boundary = |rank: usize| groups.len() * rank / self.world_size;
        let (before, own) = groups[..boundary(self.rank + 1)].split_at(boundary(self.rank));
        let (first, last) = (own[0].0, own[own.len() - 1].0);
        let skipped = before.iter().filter(|(file, _)| *file == first).map(|(_, rows)| rows).sum();
        let rows: usize = own.iter().map(|(_, rows)| rows).sum();
        Ok(Share { files: files[first..=last].to_vec(), rows: Some(skipped..skipped + rows), by: Some(by) })
    }
}
