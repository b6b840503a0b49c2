//! Writing: the same rows in each layout and by each reading, resumed, and nothing overwritten.

use std::collections::BTreeMap;
use std::fs;

use onramp::data::Teacher;
use onramp::experiment::{Experiment, Outcome, in_fresh_process};
use onramp::storage::{Layout, Reading, Scan, ScanRun, Store};

use super::{PARTS, close, folder};
use crate::engine::support::complaint;

#[test]
fn every_layout_and_reading_has_the_rows_that_stand_in_memory() {
    let folder = folder();
    let teacher = Teacher::new(9_000).columns(5).seed(3);
    let rows = teacher.generate().unwrap();
    let mut expected: BTreeMap<u32, (u64, f64)> = BTreeMap::new();
    for (row, label) in rows.labels().iter().enumerate() {
        let (count, sum) = expected.entry(*label).or_default();
        *count += 1;
        *sum += f64::from(rows.row(row)[4]);
    }
    let layouts = [("t.csv", Layout::Csv), ("t.parquet", Layout::Parquet), ("t", PARTS)];
    for (name, layout) in layouts {
        let path = folder.path().join(name);
        let store = Store::write(&path, teacher, layout).unwrap();
        store.check().unwrap();
        assert_eq!(Store::open(&path).unwrap(), store);
        assert_eq!(store.files().len(), if name == "t" { 3 } else { 1 });
        for reading in [Reading::Eager, Reading::Streaming] {
            let run = Scan::new(&path).reading(reading).by("label").mean_of(["x4"]).run().unwrap();
            assert_eq!(run.rows(), 9_000, "{name}, {reading:?}");
            assert_eq!(run.groups.len(), expected.len());
            for (group, (label, (count, sum))) in run.groups.iter().zip(&expected) {
                assert_eq!((group.key, group.rows), (f64::from(*label), *count), "{name}, {reading:?}");
                assert!((group.means[0] - sum / *count as f64).abs() < 1e-5, "{name}, {reading:?}: {group:?}");
            }
        }
        let text = Scan::new(&path).mean_of(["x0"]).run().unwrap().table().to_string();
        assert!(text.contains("9000 rows in") && text.contains("mean of x0"), "{text}");
    }
}

#[test]
fn an_interrupted_write_goes_on_with_what_is_missing() {
    let folder = folder();
    let path = folder.path().join("t");
    let teacher = Teacher::new(10_000).columns(3);
    let store = Store::write(&path, teacher, PARTS).unwrap();
    let contents: Vec<Vec<u8>> = store.files().iter().map(|file| fs::read(file).unwrap()).collect();
    let changed = |index: usize| fs::metadata(&store.files()[index]).unwrap().modified().unwrap();
    let first = changed(0);
    fs::remove_file(&store.files()[1]).unwrap();
    let text = complaint(Store::open(&path));
    assert!(text.contains("part=1") && text.contains("is missing (1 of 3 files of"), "{text}");
    assert!(text.contains("write the table again"), "{text}");
    let text = complaint(Scan::new(&path).run());
    assert!(text.contains("part=1"), "{text}");
    assert_eq!(Store::write(&path, teacher, PARTS).unwrap(), store);
    assert_eq!(changed(0), first, "a file that was there is written again");
    let again: Vec<Vec<u8>> = store.files().iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(contents == again, "the same rows give other bytes");
    // Nothing but the table's own files is left behind.
    let left: Vec<_> = fs::read_dir(path.join("part=1")).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    let teacher = Teacher::new(5_000).columns(3);
    Store::write(&path, teacher, Layout::Parquet).unwrap();
    Store::write(&path, teacher, Layout::Parquet).unwrap();
    let text = complaint(Store::write(&path, teacher.seed(1), Layout::Parquet));
    assert!(text.contains("t.parquet holds another table; delete it"), "{text}");
    let foreign = folder.path().join("mine.csv");
    fs::write(&foreign, "a,b\n1,2\n").unwrap();
    let text = complaint(Store::write(&foreign, teacher, Layout::Csv));
    assert!(text.contains("is there already"), "{text}");
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "a,b\n1,2\n");
    let text = complaint(Store::write(folder.path().join("t.txt"), teacher, Layout::Csv));
    assert!(text.contains("end it with .csv"), "{text}");
    let text = complaint(Store::write(folder.path().join("u"), teacher, Layout::Partitioned { rows_per_file: 1000 }));
    assert!(text.contains("use a multiple of 4096, such as 4096"), "{text}");
    let text = complaint(Store::write(folder.path().join("u"), Teacher::new(0), PARTS));
    assert!(text.contains("0 rows"), "{text}");
}

#[test]
fn streaming_needs_less_memory_than_the_table() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    // 64 MB of numbers.
    Store::write(&path, Teacher::new(2_000_000).columns(8), Layout::Parquet).unwrap();
    let scan = Scan::new(&path).by("label").mean_of(["x0", "x7"]);
    let run = |reading: Reading| {
        let outcome = in_fresh_process(&Experiment::Scan(scan.clone().reading(reading))).unwrap();
        let Outcome::Scan(run) = outcome else { panic!("another experiment answered") };
        run
    };
    let (eager, streaming) = (run(Reading::Eager), run(Reading::Streaming));
    close(&eager, &streaming);
    let needed = |run: &ScanRun| run.peak_memory_bytes - run.memory_before_bytes;
    assert!(needed(&eager) > 64_000_000, "{} bytes for all rows", needed(&eager));
    assert!(needed(&streaming) < needed(&eager), "{} bytes streaming, {} eager", needed(&streaming), needed(&eager));
}

#[test]
fn a_scan_that_failed_leaves_nothing_running() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    Store::write(&path, Teacher::new(5_000).columns(2), Layout::Parquet).unwrap();
    let watching = || {
        let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
        let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        threads.map(name).filter(|name| name.trim() == "onramp memory").count()
    };
    for _ in 0..20 {
        complaint(Scan::new(&path).mean_of(["y"]).run());
    }
    // Those of other tests, which run at the same time, come and go.
    let gone = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        watching() < 10
    });
    assert!(gone, "{} threads still watch the memory", watching());
}
