//! Tables that polars describes: of other formats, joined, in memory.

use std::fs::{self, File};
use std::io::Write;

use onramp::data::Teacher;
use onramp::polars::prelude::*;
use onramp::storage::{Layout, Reading, Scan, ShardBy, Store};

use super::{close, folder};
use crate::engine::support::complaint;

#[test]
fn a_frame_gives_what_its_file_gives() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    Store::write(&path, Teacher::new(20_000).columns(3), Layout::Parquet).unwrap();
    let rows =
        || LazyFrame::scan_parquet(PlRefPath::try_from_path(&path).unwrap(), ScanArgsParquet::default()).unwrap();
    let in_memory = rows().collect().unwrap();
    let ipc = folder.path().join("t.arrow");
    IpcWriter::new(File::create(&ipc).unwrap()).finish(&mut in_memory.clone()).unwrap();
    let read_again = IpcReader::new(File::open(&ipc).unwrap()).finish().unwrap();
    for reading in [Reading::Streaming, Reading::Eager] {
        let scan =
            |name: &str| Scan::new(name).by("label").mean_of(["x0", "x2"]).filter("x1", -0.5, 0.5).reading(reading);
        let expected = scan(path.to_str().unwrap()).run().unwrap();
        for frame in [rows(), in_memory.clone().lazy(), read_again.clone().lazy()] {
            let run = scan("rows").run_on(frame).unwrap();
            close(&run, &expected);
            assert_eq!((run.shared_by, run.scan), (None, scan("rows")));
        }
    }
}

#[test]
fn joined_and_made_columns_are_grouped() {
    let cars =
        df!["lane" => [1, 1, 2, 3], "metres" => [10.0, 30.0, 40.0, 1.0], "seconds" => [1.0, 1.0, 2.0, 1.0]].unwrap();
    let lanes = df!["lane" => [1, 2], "limit" => [100, 80]].unwrap();
    let speed = (col("metres") / col("seconds")).alias("speed");
    let rows = cars.lazy().with_column(speed).inner_join(lanes.lazy(), col("lane"), col("lane"));
    let run = Scan::new("cars").by("limit").mean_of(["speed"]).run_on(rows).unwrap();
    let groups: Vec<(f64, u64, f64)> = run.groups.iter().map(|group| (group.key, group.rows, group.means[0])).collect();
    assert_eq!(groups, [(80.0, 1, 20.0), (100.0, 2, 20.0)]);
}

#[test]
fn a_frame_that_does_not_fit_is_refused_by_its_name() {
    let rows = || df!["lane" => [1, 2], "driver" => ["Ada", "Bo"]].unwrap().lazy();
    let text = complaint(Scan::new("cars").mean_of(["speed"]).run_on(rows()));
    assert!(text.contains("cars has no column 'speed'; its columns are lane, driver"), "{text}");
    let text = complaint(Scan::new("cars").mean_of(["driver"]).run_on(rows()));
    assert!(text.contains("cars has str in the column 'driver', not numbers"), "{text}");
    for scan in [
        Scan::new("cars").shard(0, 2),
        Scan::new("cars").shard_by(ShardBy::Files),
        Scan::new("cars").store_option("aws_region", "x"),
    ] {
        let text = complaint(scan.run_on(rows()));
        assert!(text.contains("cars is a polars frame") && text.contains("leave out shard"), "{text}");
    }
    let text = complaint(Scan::new("cars").run_on(rows().select([col("wheels")])));
    assert!(text.contains("cars can't be read (") && text.contains("wheels"), "{text}");
    // A file of another format is not a damaged one.
    let folder = folder();
    let lines = folder.path().join("cars.ndjson");
    writeln!(File::create(&lines).unwrap(), "{{\"lane\": 1}}").unwrap();
    let text = complaint(Scan::new(&lines).run());
    assert!(text.contains("cars.ndjson is neither CSV nor Parquet") && text.contains("Scan::run_on"), "{text}");
    // What fails on the way, and not in the plan.
    let fails = |_: DataFrame| Err(polars_err!(ComputeError: "row 7 is a lorry"));
    let rows = rows().map(fails, AllowedOptimizations::default(), None, None);
    let text = complaint(Scan::new("cars").mean_of(["lane"]).run_on(rows));
    assert!(text.contains("cars can't be read (") && text.contains("row 7 is a lorry"), "{text}");
    // A file that goes away after it was described.
    let path = folder.path().join("t.csv");
    writeln!(File::create(&path).unwrap(), "a;b\n1;2").unwrap();
    let described = LazyCsvReader::new(PlRefPath::try_from_path(&path).unwrap()).with_separator(b';').finish().unwrap();
    let run = Scan::new("semicolons").mean_of(["b"]).run_on(described.clone()).unwrap();
    assert_eq!((run.rows(), run.groups[0].means[0]), (1, 2.0));
    fs::remove_file(&path).unwrap();
    let text = complaint(Scan::new("semicolons").mean_of(["b"]).run_on(described));
    assert!(text.contains("semicolons can't be read ("), "{text}");
}
