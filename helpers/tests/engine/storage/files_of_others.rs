//! Tables that others wrote: every kind of number, columns in any order, copies that editors keep, text where numbers belong.

use std::fs::{self, File};
use std::path::Path;

use onramp::polars::prelude::*;
use onramp::storage::{Batches, Layout, Reading, Scan, Store};

use super::{PARTS, folder};
use crate::engine::support::complaint;

fn write(path: &Path, mut frame: DataFrame) {
    ParquetWriter::new(File::create(path).unwrap()).finish(&mut frame).unwrap();
}

fn kinds() -> [DataType; 11] {
    use DataType::{Boolean, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32};
    [Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, Float32, Float64, DataType::Decimal(10, 2)]
}

#[test]
fn every_kind_of_number_is_read() {
    let folder = folder();
    let numbers = Column::new("x".into(), [0_i64, 1, 1, 0, 1, 1, 0, 1]);
    for (number, kind) in kinds().into_iter().enumerate() {
        // One that is read ahead from must not be overwritten: its pages are mapped into memory.
        let path = folder.path().join(format!("{number}.parquet"));
        let x = numbers.cast(&kind).unwrap();
        let label = x.clone().with_name("label".into());
        let height = x.len();
        write(&path, DataFrame::new(height, vec![x, label]).unwrap());
        for reading in [Reading::Streaming, Reading::Eager] {
            let run = Scan::new(&path).by("label").mean_of(["x"]).reading(reading).run();
            let groups: Vec<_> =
                run.unwrap().groups.iter().map(|group| (group.key, group.rows, group.means[0])).collect();
            assert_eq!(groups, [(0.0, 3, 0.0), (1.0, 5, 1.0)], "{kind}");
        }
        let store = Store::open(&path).unwrap();
        store.check().unwrap();
        let batch = Batches::of(&store, "label").rows(8).start().unwrap().next().unwrap().unwrap();
        let features: f32 = batch.features.sum_all().unwrap().to_scalar().unwrap();
        assert_eq!((features, batch.labels.dims()), (5.0, &[8][..]), "{kind}");
    }
}

#[test]
fn batches_refuse_what_is_no_number_and_no_class() {
    let folder = folder();
    let refused = |frame: DataFrame| {
        let path =
            tempfile::Builder::new().suffix("t.parquet").tempfile_in(&folder).unwrap().into_temp_path().keep().unwrap();
        write(&path, frame);
        let store = Store::open(&path).unwrap();
        complaint(Batches::of(&store, "label").start().unwrap().next().unwrap())
    };
    let text = refused(df!["name" => ["Ada", "Bo"], "label" => [0, 1]].unwrap());
    assert!(text.contains("t.parquet has 'Ada' in row 1 of the column 'name', which is no number"), "{text}");
    let text = refused(df!["x" => [1.0, f64::NAN], "label" => [0, 1]].unwrap());
    assert!(text.contains("NaN in row 2 of the column 'x'"), "{text}");
    let text = refused(df!["x" => [1.0, 1e300], "label" => [0, 1]].unwrap());
    assert!(text.contains("no finite 32-bit number"), "{text}");
    let text = refused(df!["x" => [1.0, 2.0], "label" => [0.0, 0.5]].unwrap());
    assert!(text.contains("0.5 in row 2 of the column 'label'") && text.contains("classes are numbered"), "{text}");
    let text = refused(df!["x" => [1.0, 2.0], "label" => [0, -1]].unwrap());
    assert!(text.contains("-1 in row 2 of the column 'label'"), "{text}");
    let text = refused(df!["x" => [Some(1.0), None], "label" => [0, 1]].unwrap());
    assert!(text.contains("1 missing value in the column 'x', the first in row 2"), "{text}");
}

#[test]
fn columns_may_come_in_another_order() {
    let folder = folder();
    write(
        &folder.path().join("a.parquet"),
        df!["x" => [1.0_f32, 2.0], "y" => [10.0_f32, 20.0], "label" => [0, 1]].unwrap(),
    );
    write(
        &folder.path().join("b.parquet"),
        df!["label" => [1, 0], "y" => [30.0_f32, 40.0], "x" => [3.0_f32, 4.0]].unwrap(),
    );
    let store = Store::open(folder.path()).unwrap();
    let batch = Batches::of(&store, "label").rows(4).start().unwrap().next().unwrap().unwrap();
    for row in batch.features.to_vec2::<f32>().unwrap() {
        assert_eq!(10.0 * row[0], row[1]);
    }
}

#[test]
fn hidden_copies_are_no_part_of_a_table() {
    let folder = folder();
    let text = "x,label\n1,0\n3,1\n";
    for name in ["a.csv", ".ipynb_checkpoints/a-checkpoint.csv", "._a.csv", "_temporary/a.csv"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let run = Scan::new(folder.path()).mean_of(["x"]).run().unwrap();
    assert_eq!((run.rows(), run.groups[0].means[0]), (2, 2.0));
}

#[test]
fn a_fraction_far_down_in_a_csv_column_is_read() {
    let folder = folder();
    let path = folder.path().join("t.csv");
    let late = |row: usize| {
        let rows: String = (0..row).map(|row| format!("{row}\n")).collect();
        fs::write(&path, format!("x\n{rows}2.5\n")).unwrap();
        Scan::new(&path).mean_of(["x"]).run()
    };
    assert_eq!(late(5_000).unwrap().rows(), 5_001);
    let text = complaint(late(20_000));
    assert!(text.contains("could not parse `2.5`") && text.contains("from the first row on"), "{text}");
}

#[test]
fn a_table_that_was_deleted_makes_room_for_another() {
    let folder = folder();
    let teacher = onramp::data::Teacher::new(5_000).columns(3);
    for (name, layout) in [("t.parquet", Layout::Parquet), ("t.csv", Layout::Csv), ("t", PARTS)] {
        let path = folder.path().join(name);
        let store = Store::write(&path, teacher, layout).unwrap();
        store.files().iter().for_each(|file| fs::remove_file(file).unwrap());
        Store::write(&path, teacher.seed(1), layout).unwrap();
    }
}

#[test]
fn what_a_killed_writer_left_is_deleted() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    let left = folder.path().join(".t.parquet.abc.unfinished");
    fs::write(&left, "half").unwrap();
    let living = folder.path().join(".t.parquet.def.unfinished");
    fs::write(&living, "half").unwrap();
    let held = File::open(&living).unwrap();
    held.lock().unwrap();
    Store::write(&path, onramp::data::Teacher::new(5_000).columns(3), Layout::Parquet).unwrap();
    assert!(!left.exists() && living.exists());
    assert_eq!(Store::open(folder.path()).unwrap().files(), [path]);
}

#[test]
fn wide_rows_come_in_groups_of_fewer() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    Store::write(&path, onramp::data::Teacher::new(9_000), Layout::Parquet).unwrap();
    let mut reader = ParquetReader::new(File::open(&path).unwrap());
    let groups: Vec<usize> = reader.get_metadata().unwrap().row_groups.iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [4096, 4096, 808]);
}
