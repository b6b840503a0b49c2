//! Files that are damaged, missing, or of another table; and a full disk.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use onramp::Error;
use onramp::data::Teacher;
use onramp::experiment::Experiment;
use onramp::storage::{Batches, Layout, Reading, Scan, Store, WriteTable};

use super::folder;
use crate::again::with_small_disk;
use crate::engine::support::complaint;

#[test]
fn a_damaged_file_is_named_with_its_row_group() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    // Two row groups: 262,144 rows, and the rest.
    Store::write(&path, Teacher::new(400_000).columns(2), Layout::Parquet).unwrap();
    let whole = fs::read(&path).unwrap();
    let damaged = |from: f64, to: f64| {
        let mut bytes = whole.clone();
        let range = (from * bytes.len() as f64) as usize..(to * bytes.len() as f64) as usize;
        bytes[range].fill(0xff);
        fs::write(&path, bytes).unwrap();
    };
    for (from, to, group) in
        [(0.3, 0.4, "row group 0 (rows 0 to 262143)"), (0.7, 0.9, "row group 1 (rows 262144 to 399999)")]
    {
        damaged(from, to);
        for text in [
            complaint(Scan::new(&path).mean_of(["x0", "x1"]).by("label").run()),
            complaint(Scan::new(&path).mean_of(["x0"]).reading(Reading::Eager).run()),
            complaint(Store::open(&path).unwrap().check()),
            complaint(Batches::of(&Store::open(&path).unwrap(), "label").window(2).start().unwrap().next().unwrap()),
        ] {
            assert!(text.contains("t.parquet is damaged") && text.contains(group), "{text}");
        }
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let text = complaint(Scan::new(&path).run());
    assert!(text.contains("t.parquet is damaged: its footer can't be read"), "{text}");
    let text = complaint(Scan::new(folder.path().join("none.parquet")).run());
    assert!(text.contains("none.parquet is missing"), "{text}");
}

#[test]
fn whatever_bytes_change_a_reader_answers() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    Store::write(&path, Teacher::new(5_000).columns(3), Layout::Parquet).unwrap();
    let whole = fs::read(&path).unwrap();
    // A step that is coprime to the length visits bytes everywhere; the footer is at the end.
    let (mut place, mut refused) = (0, 0);
    for round in 0..150 {
        let mut bytes = whole.clone();
        for flipped in 0..=round % 4 {
            place = (place + 7_919 * (flipped + 1)) % bytes.len();
            bytes[place] ^= 1 << (round % 8);
        }
        let end = bytes.len() - 1 - round * 3;
        bytes[end] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        for reading in [Reading::Eager, Reading::Streaming] {
            match Scan::new(&path).by("label").mean_of(["x0", "x1", "x2"]).reading(reading).run() {
                // A flipped bit of a number can't be told from a number.
                Ok(run) => assert!(run.rows() <= 5_000),
                Err(Error::Data { path: named, reason }) => {
                    assert!(named == path && !reason.is_empty());
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused > 100, "{refused} of 300 were refused");
}

#[test]
fn a_file_with_other_columns_is_named() {
    let folder = folder();
    let write = |name: &str, columns: usize| {
        let path = folder.path().join(name);
        Store::write(&path, Teacher::new(100).columns(columns), Layout::Parquet).unwrap();
        path
    };
    let (narrow, wide) = (write("a.parquet", 2), write("b.parquet", 3));
    let joined = folder.path().join("joined");
    fs::create_dir(&joined).unwrap();
    let copy = |from: &Path, name: &str| fs::copy(from, joined.join(name)).unwrap();
    copy(&narrow, "0.parquet");
    copy(&wide, "1.parquet");
    let text = complaint(Scan::new(&joined).mean_of(["x0"]).reading(Reading::Eager).run());
    assert!(text.contains("1.parquet has a column 'x2'"), "{text}");
    copy(&wide, "0.parquet");
    copy(&narrow, "1.parquet");
    for reading in [Reading::Eager, Reading::Streaming] {
        let text = complaint(Scan::new(&joined).mean_of(["x2"]).reading(reading).run());
        assert!(text.contains("1.parquet has no column 'x2'"), "{text}");
    }
    let text = complaint(Scan::new(&wide).mean_of(["y"]).run());
    assert!(text.contains("has no column 'y'; its columns are x0, x1, x2, label"), "{text}");
}

/// The program that runs one experiment, in a shell that limits it first.
fn worker(limits: &str, experiment: &Experiment) -> Output {
    let program = env!("CARGO_BIN_EXE_onramp-worker");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits} exec \"{program}\"")]);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(experiment.to_json().unwrap().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_reader_that_panics_over_damaged_bytes_does_not_print_it() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    Store::write(&path, Teacher::new(50_000).columns(2), Layout::Parquet).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for place in (0..12).map(|part| part * whole.len() / 13 + 40) {
        let mut bytes = whole.clone();
        bytes[place..place + 400].fill(0xff);
        fs::write(&path, bytes).unwrap();
        let output = worker("", &Experiment::Scan(Scan::new(&path).by("label").mean_of(["x0", "x1"])));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked") && !text.contains("backtrace"), "{text}");
        refused += usize::from(!output.status.success() && text.contains("t.parquet is damaged: row group 0"));
    }
    assert!(refused > 0, "no damage was found");
}

#[test]
fn what_was_written_before_a_full_disk_is_intact() {
    let folder = folder();
    let path = folder.path().join("t");
    // A file has 57 kB; the limit on files, in blocks of 512 bytes, is what a disk of its size would be.
    let layout = Layout::Partitioned { rows_per_file: 4096 };
    let fits = Store::write(&path, Teacher::new(2 * 4096).columns(3), layout).unwrap();
    let contents: Vec<Vec<u8>> = fits.files().iter().map(|file| fs::read(file).unwrap()).collect();
    let large = Layout::Partitioned { rows_per_file: 1 << 20 };
    let table = Teacher::new(3 << 19).columns(3);
    let write = |path: &Path| Experiment::WriteTable(WriteTable::new(path, table, large));
    let output = worker("ulimit -f 8192; trap '' XFSZ;", &write(&folder.path().join("large")));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("large/part=0/rows.parquet can't be written"), "{text}");
    assert!(text.contains("row group") && text.contains("What was written before is as it was"), "{text}");
    let left: Vec<_> = fs::read_dir(folder.path().join("large/part=0")).unwrap().collect();
    assert!(left.is_empty(), "a part of a file is left: {left:?}");
    let again: Vec<Vec<u8>> = fits.files().iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(contents == again);
    // With room it goes on.
    assert_eq!(Store::write(folder.path().join("large"), table, large).unwrap().files().len(), 2);
}

#[test]
fn on_a_full_disk_of_its_own_whole_files_stay_and_parts_go() {
    with_small_disk("engine::storage::faults::on_a_full_disk_of_its_own_whole_files_stay_and_parts_go", 17, |disk| {
        // The first file fits, the second does not.
        let inside = disk.join("rows");
        let layout = Layout::Partitioned { rows_per_file: 1 << 20 };
        let table = Teacher::new(3 << 19).columns(3);
        let output = worker("", &Experiment::WriteTable(WriteTable::new(&inside, table, layout)));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("part=1/rows.parquet can't be written") && text.contains("the disk is full"), "{text}");
        assert!(inside.join("part=0/rows.parquet").exists());
        let left = fs::read_dir(inside.join("part=1")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a part of a file is left");
    });
}
