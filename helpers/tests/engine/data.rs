//! Data sets: what they hold, and what is refused.

use std::path::Path;

use super::complaint;
use onramp::data::{Dataset, digits};
use onramp::prelude::*;

#[test]
fn the_teacher_makes_the_same_rows_from_the_same_seed() {
    let data = Teacher::new(300).seed(5).generate().unwrap();
    assert_eq!(data, Teacher::new(300).seed(5).generate().unwrap());
    assert_ne!(data, Teacher::new(300).seed(6).generate().unwrap());
    assert_eq!((data.rows(), data.columns(), data.classes()), (300, 784, 10));
}

#[test]
fn a_larger_set_begins_with_the_rows_of_a_smaller_one() {
    let small = Teacher::new(100).generate().unwrap();
    // More than the rows that are made at once.
    let large = Teacher::new(5000).generate().unwrap();
    for row in [0, 1, 57, 99] {
        for (a, b) in small.row(row).iter().zip(large.row(row)) {
            assert!((a - b).abs() < 1e-5);
        }
    }
    let same = small.labels().iter().zip(large.labels()).filter(|(a, b)| a == b).count();
    assert!(same >= 99, "{same} of 100 labels agree");
}

#[test]
fn no_class_of_the_teacher_is_rare_or_takes_over() {
    let data = Teacher::new(5000).generate().unwrap();
    for class in 0..10 {
        let share = data.labels().iter().filter(|label| **label == class).count() as f64 / 5000.0;
        assert!((0.02..0.3).contains(&share), "class {class} has a share of {share}");
    }
}

#[test]
fn the_digits_are_those_of_uci() {
    let digits = digits::load().unwrap();
    assert_eq!((digits.rows(), digits.columns(), digits.classes()), (1797, 64, 10));
    let counts: Vec<usize> =
        (0..10).map(|digit| digits.labels().iter().filter(|label| **label == digit).count()).collect();
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    // The first image, a zero, as scikit-learn shows it.
    let first: Vec<f32> = digits.row(0)[..16].iter().map(|pixel| 16.0 * pixel).collect();
    assert_eq!(first, [0., 0., 5., 13., 9., 1., 0., 0., 0., 0., 13., 15., 10., 15., 5., 0.]);
    assert_eq!(&digits.labels()[..5], [0, 1, 2, 3, 4]);
}

#[test]
fn missing_digits_are_named_with_the_repair() {
    let text = complaint(digits::load_from(Path::new("nowhere/digits.parquet")));
    assert_eq!(
        text,
        "the data file nowhere/digits.parquet is missing; restore it with `git checkout -- datasets/digits.parquet`"
    );
}

#[test]
fn damaged_digits_are_named_with_the_repair() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("digits.parquet");
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/digits.parquet");
    let mut bytes = std::fs::read(original).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let text = complaint(digits::load_from(&copy));
    assert!(text.contains(&copy.display().to_string()), "{text}");
    assert!(
        text.contains("is damaged: its SHA-256 begins with") && text.contains("where f437f8d1b0c9 was expected"),
        "{text}"
    );
    assert!(text.contains("git checkout"), "{text}");
}

#[test]
fn a_split_shares_out_every_row_once() {
    let data =
        Dataset::new("count", 1, 2, (0..100).map(|i| i as f32).collect(), (0..100).map(|i| i % 2).collect()).unwrap();
    let split = data.split(0.2, 1).unwrap();
    assert_eq!((split.train.rows(), split.held_out.rows()), (80, 20));
    let mut all: Vec<f32> = (0..80).map(|row| split.train.row(row)[0]).collect();
    all.extend((0..20).map(|row| split.held_out.row(row)[0]));
    all.sort_by(f32::total_cmp);
    assert_eq!(all, (0..100).map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!(data.split(0.2, 1).unwrap(), split);
    assert_ne!(data.split(0.2, 2).unwrap(), split);
    assert!(complaint(data.split(0.0, 1)).contains("held-out share of 0"));
    assert!(complaint(data.split(f64::NAN, 1)).contains("leaves one part empty"));
}

#[test]
fn shards_share_out_every_row_once() {
    let data = Dataset::new("count", 1, 2, (0..10).map(|i| i as f32).collect(), vec![0; 10]).unwrap();
    let rows: Vec<Vec<f32>> = (0..3)
        .map(|rank| {
            let shard = data.shard(rank, 3).unwrap();
            (0..shard.rows()).map(|row| shard.row(row)[0]).collect()
        })
        .collect();
    assert_eq!(rows, [vec![0., 1., 2.], vec![3., 4., 5.], vec![6., 7., 8., 9.]]);
    assert!(complaint(data.shard(0, 11)).contains("shard 0 of 11 can't be cut from 10 rows"));
    assert!(data.shard(3, 3).is_err());
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    assert!(complaint(Dataset::new("x", 2, 2, vec![0.0; 3], vec![0, 1])).contains("2 rows of 2 columns but 3 numbers"));
    assert!(complaint(Dataset::new("x", 1, 2, vec![0.0; 2], vec![0, 2])).contains("label 2"));
    assert!(complaint(Dataset::new("x", 1, 2, Vec::new(), Vec::new())).contains("0 rows"));
    assert!(complaint(Teacher::new(0).generate()).contains("0 rows with 784 numbers each teaches nothing"));
}
