//! Tables on the disk: the same rows in each layout and by each reading, faults with their place, batches and where they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use onramp::Error;
use onramp::data::{Arrivals, RequestLog, Teacher};
use onramp::experiment::{Experiment, Outcome, in_fresh_process};
use onramp::storage::{BatchStream, Batches, Layout, Position, Reading, Scan, ScanRun, Store};

use super::support::complaint;

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
    let shards: Vec<u64> = (0..2).map(|rank| Scan::new(&path).shard(rank, 2).run().unwrap().rows()).collect();
    assert_eq!(shards, [4096 + 1808, 4096]);
    let text = complaint(Scan::new(&path).shard(3, 4).run());
    assert!(text.contains("shard 3 of 4 can't be read from 3 files"), "{text}");
}

#[test]
fn a_log_has_the_laws_that_were_asked_for_and_is_the_same_in_a_file() {
    let rate = 200.0;
    let log = RequestLog::new(150_000, Arrivals::Poisson { per_second: rate })
        .keys(1_000, 1.0)
        .features(2)
        .drift(70_000, 2.0);
    let requests = log.generate().unwrap();
    assert!(requests.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds));
    // Counts of a second: mean and variance agree for a Poisson process.
    let seconds = requests.last().unwrap().seconds.floor() as usize;
    let mut counts = vec![0.0; seconds];
    requests.iter().filter(|request| (request.seconds as usize) < seconds).for_each(|request| {
        counts[request.seconds as usize] += 1.0;
    });
    let mean = counts.iter().sum::<f64>() / seconds as f64;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (seconds - 1) as f64;
    assert!((mean / rate - 1.0).abs() < 0.02, "{mean} requests per second");
    assert!((variance / mean - 1.0).abs() < 0.25, "a variance of {variance}");
    // Zipf's law with 1,000 keys: the first has 1 / H(1000) of all, twice as many as the second.
    let of_key = |key: u32| requests.iter().filter(|request| request.key == key).count() as f64;
    let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
    assert!((of_key(0) * harmonic / 150_000.0 - 1.0).abs() < 0.05, "{} for the first key", of_key(0));
    assert!((of_key(0) / of_key(1) - 2.0).abs() < 0.15);
    let mean = |rows: &[onramp::data::Request]| {
        rows.iter().map(|request| f64::from(request.features[1])).sum::<f64>() / rows.len() as f64
    };
    assert!(mean(&requests[..70_000]).abs() < 0.02 && (mean(&requests[70_000..]) - 2.0).abs() < 0.02);

    let folder = folder();
    let path = folder.path().join("log");
    Store::write(&path, log, Layout::Partitioned { rows_per_file: 65_536 }).unwrap();
    let run = Scan::new(&path).mean_of(["seconds", "key", "x1"]).run().unwrap();
    assert_eq!(run.rows(), 150_000);
    let expected = requests.iter().map(|request| request.seconds).sum::<f64>() / 150_000.0;
    assert!((run.groups[0].means[0] / expected - 1.0).abs() < 1e-9);
    // A longer log begins with the same whole chunks.
    let longer = RequestLog::new(300_000, Arrivals::Poisson { per_second: rate }).keys(1_000, 1.0).features(2);
    assert_eq!(longer.generate().unwrap()[..65_536], requests[..65_536]);
}

#[test]
fn bursts_bring_more_requests_at_their_time() {
    let arrivals = Arrivals::Bursts { per_second: 100.0, factor: 5.0, period: 10.0, length: 2.0 };
    let requests = RequestLog::new(100_000, arrivals).generate().unwrap();
    let (burst, calm): (Vec<f64>, Vec<f64>) =
        requests.iter().map(|request| request.seconds % 10.0).partition(|second| *second < 2.0);
    let ratio = (burst.len() as f64 / 2.0) / (calm.len() as f64 / 8.0);
    assert!((ratio / 5.0 - 1.0).abs() < 0.05, "{ratio} times as many in a burst");
    for arrivals in [
        Arrivals::Poisson { per_second: 0.0 },
        Arrivals::Bursts { per_second: 1.0, factor: 2.0, period: 1.0, length: 1.0 },
    ] {
        let text = complaint(RequestLog::new(10, arrivals).generate());
        assert!(text.contains("must be above 0, and a burst shorter than the period"), "{text}");
    }
    let text = complaint(RequestLog::new(0, arrivals).generate());
    assert!(text.contains("a log of 0 requests"), "{text}");
    let text = complaint(RequestLog::new(1, arrivals).keys(10, -1.0).generate());
    assert!(text.contains("exponent -1"), "{text}");
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

#[test]
fn a_pass_has_each_row_once_over_all_workers() {
    let folder = folder();
    let teacher = Teacher::new(20_480).columns(4);
    let store = Store::write(folder.path().join("t"), teacher, PARTS).unwrap();
    let data = teacher.generate().unwrap();
    let all = sorted((0..data.rows()).map(|row| data.row(row).to_vec()).collect());
    let description = Batches::of(&store, "label").rows(1024).window(2).seed(5);
    // Five files of one row group each: three for one worker, two for the other.
    let mut shared = rows_of(&mut description.clone().shard(0, 2).start().unwrap(), 12);
    shared.extend(rows_of(&mut description.clone().shard(1, 2).start().unwrap(), 8));
    assert!(sorted(shared) == all);
    let mut alone = description.clone().start().unwrap();
    let (first, second) = (rows_of(&mut alone, 20), rows_of(&mut alone, 20));
    assert!(first != second, "two passes have the same order");
    assert!(sorted(first.clone()) == all && sorted(second) == all);
    assert!(first != rows_of(&mut description.clone().seed(6).start().unwrap(), 20), "two seeds have the same order");
    // Rows of one row group don't stay together.
    let labels = description.start().unwrap().next().unwrap().unwrap().labels;
    assert_eq!(labels.dims(), [1024]);
}

#[test]
fn a_run_that_is_resumed_sees_the_rows_that_it_would_have_seen() {
    let folder = folder();
    let store = Store::write(folder.path().join("t"), Teacher::new(12_288).columns(2), PARTS).unwrap();
    let description = Batches::of(&store, "label").rows(1000).window(2);
    for taken in [0, 1, 5, 9, 10, 13, 14, 30] {
        let mut whole = description.clone().start().unwrap();
        rows_of(&mut whole, taken);
        let position = whole.position();
        let text = serde_json::to_string(&position).unwrap();
        let position: Position = serde_json::from_str(&text).unwrap();
        let mut resumed = description.clone().from(position).start().unwrap();
        assert!(rows_of(&mut whole, 6) == rows_of(&mut resumed, 6), "after {taken} batches, at {position:?}");
        assert_eq!(whole.position(), resumed.position());
    }
}

#[test]
fn batches_of_nothing_are_refused() {
    let folder = folder();
    let store = Store::write(folder.path().join("t.parquet"), Teacher::new(100).columns(2), Layout::Parquet).unwrap();
    let text = complaint(Batches::of(&store, "label").rows(0).start().map(|_| ()));
    assert!(text.contains("batches of 0 rows"), "{text}");
    let text = complaint(Batches::of(&store, "label").shard(0, 2).start().map(|_| ()));
    assert!(text.contains("shard 0 of 2 can't be cut from 1 row groups"), "{text}");
    let text = complaint(Batches::of(&store, "class").start().unwrap().next().unwrap());
    assert!(text.contains("has no column 'class'; its columns are x0, x1, label"), "{text}");
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
