//! Parts of a table for several workers.

use std::fs;

use onramp::data::Teacher;
use onramp::storage::{Batches, Layout, Reading, Scan, ScanRun, ShardBy, Store};

use super::{PARTS, folder};
use crate::engine::support::complaint;

#[test]
fn filters_and_shards_leave_out_rows_and_files() {
    let folder = folder();
    let path = folder.path().join("t");
    Store::write(&path, Teacher::new(10_000).columns(3), PARTS).unwrap();
    let all = Scan::new(&path).by("label").run().unwrap();
    let some = Scan::new(&path).by("label").filter("label", 2.0, 5.0);
    for reading in [Reading::Eager, Reading::Streaming] {
        let some = some.clone().reading(reading).run().unwrap();
        assert!(some.groups.iter().all(|group| (2.0..5.0).contains(&group.key)));
        assert_eq!(some.groups, all.groups[2..5]);
    }
    let shards = [0, 1].map(|rank| Scan::new(&path).shard(rank, 2).run().unwrap());
    assert_eq!(shards.each_ref().map(ScanRun::rows), [4096 + 1808, 4096]);
    assert!(shards.iter().all(|run| run.shared_by == Some(ShardBy::Files)));
    assert!(shards[1].table().to_string().contains("The files of worker 1 of 2."));
    assert_eq!(Scan::new(&path).run().unwrap().shared_by, None);
}

#[test]
fn one_file_is_shared_by_its_row_groups() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    // Row groups of 262,144, 262,144, 262,144 and 113,568 rows.
    let rows = 900_000;
    let store = Store::write(&path, Teacher::new(rows).columns(2), Layout::Parquet).unwrap();
    let all = Scan::new(&path).by("label").mean_of(["x0"]).run().unwrap();
    for (workers, expected) in [(1, vec![900_000]), (2, vec![524_288, 375_712]), (3, vec![262_144, 262_144, 375_712])] {
        for reading in [Reading::Streaming, Reading::Eager] {
            let scan = Scan::new(&path).by("label").mean_of(["x0"]).shard_by(ShardBy::RowGroups).reading(reading);
            let runs: Vec<ScanRun> =
                (0..workers).map(|rank| scan.clone().shard(rank, workers).run().unwrap()).collect();
            assert_eq!(runs.iter().map(ScanRun::rows).collect::<Vec<_>>(), expected);
            assert!(runs.iter().all(|run| run.shared_by == Some(ShardBy::RowGroups)));
            // No row is lost or read twice: counts and sums of all workers are those of one.
            for (index, group) in all.groups.iter().enumerate() {
                let own = || runs.iter().map(|run| &run.groups[index]);
                assert_eq!(own().map(|group| group.rows).sum::<u64>(), group.rows);
                let sum: f64 = own().map(|group| group.means[0] * group.rows as f64).sum();
                assert!((sum / group.rows as f64 - group.means[0]).abs() < 1e-9);
            }
        }
    }
    // Nobody has to say so where there are too few files.
    let run = Scan::new(&path).shard(3, 4).run().unwrap();
    assert_eq!((run.shared_by, run.rows()), (Some(ShardBy::RowGroups), 113_568));
    // A filter counts within the share.
    let filtered = |rank| Scan::new(&path).filter("label", 3.0, 4.0).shard(rank, 2).run().unwrap().rows();
    let third = all.groups.iter().find(|group| group.key == 3.0).unwrap();
    assert_eq!(filtered(0) + filtered(1), third.rows);
    let text = complaint(Scan::new(&path).shard(0, 5).run());
    assert!(
        text.contains("shard 0 of 5 can't be cut from 4 row groups") && text.contains("use fewer workers"),
        "{text}"
    );
    let text = complaint(Scan::new(&path).shard(0, 2).shard_by(ShardBy::Files).run());
    assert!(text.contains("from 1 files") && text.contains("share it by row groups"), "{text}");
    for (rank, workers) in [(2, 2), (0, 0), (1, 1)] {
        let text = complaint(Scan::new(&path).shard(rank, workers).run());
        assert!(text.contains(&format!("shard {rank} of {workers}")), "{text}");
    }
    let text = complaint(Batches::of(&store, "label").shard(0, 2).shard_by(ShardBy::Files).start().map(|_| ()));
    assert!(text.contains("from 1 files"), "{text}");
}

#[test]
fn shares_of_row_groups_cross_files() {
    let folder = folder();
    let path = folder.path().join("t");
    // Files of two row groups each.
    Store::write(&path, Teacher::new(1_500_000).columns(1), Layout::Partitioned { rows_per_file: 409_600 }).unwrap();
    let all = Scan::new(&path).by("part").run().unwrap();
    let mut rows = [0; 4];
    for rank in 0..5 {
        let run = Scan::new(&path).by("part").shard(rank, 5).shard_by(ShardBy::RowGroups).run().unwrap();
        run.groups.iter().for_each(|group| rows[group.key as usize] += group.rows);
    }
    assert_eq!(rows.to_vec(), all.groups.iter().map(|group| group.rows).collect::<Vec<_>>());
    let text = complaint(Scan::new(&path).shard(0, 99).run());
    assert!(text.contains("shard 0 of 99 can't be cut from 8 row groups"), "{text}");
}

#[test]
fn text_is_shared_by_whole_files() {
    let folder = folder();
    let path = folder.path().join("t.csv");
    let store = Store::write(&path, Teacher::new(5_000).columns(2), Layout::Csv).unwrap();
    for scan in [Scan::new(&path).shard(0, 2), Scan::new(&path).shard_by(ShardBy::RowGroups)] {
        let text = complaint(scan.run());
        assert!(text.contains("from 1 CSV files: CSV has no row groups and is shared by whole files"), "{text}");
    }
    let text = complaint(Batches::of(&store, "label").start().map(|_| ()));
    assert!(text.contains("t.csv is CSV") && text.contains("Layout::Parquet"), "{text}");
    let several = folder.path().join("several");
    fs::create_dir(&several).unwrap();
    for part in 0..3 {
        fs::copy(&path, several.join(format!("{part}.csv"))).unwrap();
    }
    let rows = [0, 1].map(|rank| Scan::new(&several).shard(rank, 2).mean_of(["x0"]).run().unwrap().rows());
    assert_eq!(rows, [10_000, 5_000]);
}
