//! Tables on the disk, in an object store, and as polars describes them.

mod batches;
mod faults;
mod files_of_others;
mod frames;
mod group_means;
mod layouts;
mod object_store;
mod request_log;
mod shards;

use onramp::storage::{BatchStream, Layout, ScanRun};

const PARTS: Layout = Layout::Partitioned { rows_per_file: 4096 };

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn close(ours: &ScanRun, theirs: &ScanRun) {
    assert_eq!(ours.groups.len(), theirs.groups.len());
    for (a, b) in ours.groups.iter().zip(&theirs.groups) {
        assert_eq!((a.key, a.rows), (b.key, b.rows));
        for (a, b) in a.means.iter().zip(&b.means) {
            assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a}, {b}");
        }
    }
}

fn rows_of(stream: &mut BatchStream, batches: usize) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    for _ in 0..batches {
        rows.extend(stream.next().unwrap().unwrap().features.to_vec2::<f32>().unwrap());
    }
    rows
}

fn sorted(mut rows: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}
