//! Means of groups against those of the rows themselves: keys of every kind, what is missing, and what is not a number.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use onramp::experiment::{Experiment, Outcome, in_fresh_process};
use onramp::storage::{Group, Reading, Scan, ScanRun};
use polars::prelude::{Column, DataFrame, ParquetWriter};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{close, folder};
use crate::engine::support::complaint;

const ROWS: usize = 30_000;

/// Columns of a table as it stands in memory.
struct Rows {
    keys: Vec<Option<f64>>,
    values: Vec<Vec<Option<f64>>>,
}

impl Rows {
    /// Row by row, as a child would.
    fn groups(&self, counts: impl Fn(usize) -> bool) -> Vec<Group> {
        let mut groups: BTreeMap<(u8, u64), (Vec<usize>, f64)> = BTreeMap::new();
        for (row, key) in self.keys.iter().enumerate().filter(|(row, _)| counts(*row)) {
            // What is missing comes first, and what is not a number last.
            let order = match key {
                None => (0, 0),
                Some(key) if key.is_nan() => (2, 0),
                Some(key) => (1, (key + 1e12).to_bits()),
            };
            groups.entry(order).or_insert_with(|| (Vec::new(), key.unwrap_or(f64::NAN))).0.push(row);
        }
        let mean = |rows: &[usize], values: &[Option<f64>]| {
            let values: Vec<f64> = rows.iter().filter_map(|row| values[*row]).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let group = |(rows, key): (Vec<usize>, f64)| Group {
            key,
            rows: rows.len() as u64,
            means: self.values.iter().map(|values| mean(&rows, values)).collect(),
        };
        groups.into_values().map(group).collect()
    }
}

fn write(path: &Path, mut frame: DataFrame) {
    ParquetWriter::new(File::create(path).unwrap()).with_row_group_size(Some(4_000)).finish(&mut frame).unwrap();
}

fn agree(run: &ScanRun, expected: &[Group]) {
    let same = |a: f64, b: f64| (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    assert_eq!(run.groups.len(), expected.len());
    for (own, other) in run.groups.iter().zip(expected) {
        assert!(same(own.key, other.key) && own.rows == other.rows, "{own:?}, {other:?}");
        assert!(own.means.iter().zip(&other.means).all(|(a, b)| same(*a, *b)), "{own:?}, {other:?}");
    }
}

#[test]
fn groups_have_the_means_of_their_rows() {
    let folder = folder();
    let path = folder.path().join("t.parquet");
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut draw = |kind: &str| -> Option<f64> {
        Some(match kind {
            "few" => f64::from(rng.random_range(0_u8..10)),
            "negative" => f64::from(rng.random_range(-700_i32..300)),
            "missing" if rng.random_bool(0.3) => return None,
            "missing" => f64::from(rng.random_range(3_u8..6)),
            "all missing" => return None,
            // Wider than a piece has rows.
            "wide" => (rng.random_range(-40_i64..40) * 1_000_000_007) as f64,
            "many" => rng.random_range(0_i64..20_000) as f64,
            "flag" => f64::from(u8::from(rng.random_bool(0.2))),
            "unsigned" => f64::from(rng.random_range(0_u8..4)) * 4_611_686_018_427_387_904.0,
            "numbers" if rng.random_bool(0.1) => f64::NAN,
            "numbers" if rng.random_bool(0.1) => return None,
            "numbers" => f64::from(rng.random_range(-3_i8..3)) / 4.0,
            _ => unreachable!(),
        })
    };
    let kinds =
        ["few", "negative", "missing", "all missing", "wide", "many", "flag", "unsigned", "numbers"].map(|kind| {
            let keys: Vec<Option<f64>> = (0..ROWS).map(|_| draw(kind)).collect();
            (kind, keys)
        });
    for (kind, keys) in kinds {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut values = |missing: f64, odd: f64| -> Vec<Option<f64>> {
            let value = |_| match rng.random_range(0.0..1.0) {
                share if share < missing => None,
                share if share < missing + odd => Some(f64::NAN),
                _ => Some(f64::from(rng.random_range(-100_000_i32..100_000)) / 64.0),
            };
            (0..ROWS).map(value).collect()
        };
        let values = vec![values(0.0, 0.0), values(0.2, 0.0), values(0.0, 0.0001), values(1.0, 0.0)];
        let narrow =
            |values: &[Option<f64>]| values.iter().map(|value| value.map(|value| value as f32)).collect::<Vec<_>>();
        let whole =
            |values: &[Option<f64>]| values.iter().map(|value| value.map(|value| value as i64)).collect::<Vec<_>>();
        let key = match kind {
            "few" => Column::new("key".into(), keys.iter().map(|key| key.map(|key| key as u32)).collect::<Vec<_>>()),
            "flag" => Column::new("key".into(), keys.iter().map(|key| key.map(|key| key > 0.0)).collect::<Vec<_>>()),
            "unsigned" => {
                Column::new("key".into(), keys.iter().map(|key| key.map(|key| key as u64)).collect::<Vec<_>>())
            }
            "numbers" => Column::new("key".into(), keys.clone()),
            _ => Column::new("key".into(), whole(&keys)),
        };
        let place: Vec<u32> = (0..ROWS as u32).collect();
        let columns = vec![
            key,
            Column::new("narrow".into(), narrow(&values[0])),
            Column::new("gaps".into(), values[1].clone()),
            Column::new("odd".into(), narrow(&values[2])),
            Column::new("whole".into(), whole(&values[0])),
            Column::new("empty".into(), values[3].clone()),
            Column::new("place".into(), place),
        ];
        write(&path, DataFrame::new(ROWS, columns).unwrap());
        let rounded = values[0].iter().map(|value| value.map(f64::trunc)).collect();
        let [even, gaps, odd, empty] = values.try_into().unwrap();
        let rows = Rows { keys, values: vec![even, gaps, odd, rounded, empty] };
        let scan = Scan::new(&path).by("key").mean_of(["narrow", "gaps", "odd", "whole", "empty"]);
        for reading in [Reading::Streaming, Reading::Eager] {
            let scan = scan.clone().reading(reading);
            agree(&scan.run().unwrap(), &rows.groups(|_| true));
            agree(
                &scan.clone().filter("place", 1_000.0, 9_500.0).run().unwrap(),
                &rows.groups(|row| (1_000..9_500).contains(&row)),
            );
            agree(&scan.clone().filter("place", -2.0, -1.0).run().unwrap(), &[]);
        }
        let single = Rows { keys: vec![Some(0.0); ROWS], values: rows.values };
        let scan = Scan::new(&path).mean_of(["narrow", "gaps", "odd", "whole", "empty"]);
        agree(&scan.run().unwrap(), &single.groups(|_| true));
    }
    // No rows are one group of none where they are not grouped.
    let none = Scan::new(&path).filter("place", -2.0, -1.0).mean_of(["narrow"]).run().unwrap();
    assert!(none.groups.len() == 1 && none.rows() == 0 && none.groups[0].means[0].is_nan());
    assert_eq!(Scan::new(&path).filter("place", 10.0, 30.0).run().unwrap().rows(), 20);
    // What is not a number comes back from another process, too.
    let scan = Scan::new(&path).by("key").mean_of(["odd", "empty"]);
    let Outcome::Scan(there) = in_fresh_process(&Experiment::Scan(scan.clone())).unwrap() else { panic!("no scan") };
    agree(&there, &scan.run().unwrap().groups);
}

#[test]
fn a_column_of_text_is_refused() {
    let folder = folder();
    let path = folder.path().join("t.csv");
    fs::write(&path, "name,size\nann,1\nbob,2\n").unwrap();
    for scan in
        [Scan::new(&path).by("name"), Scan::new(&path).mean_of(["name"]), Scan::new(&path).filter("name", 0.0, 1.0)]
    {
        for reading in [Reading::Streaming, Reading::Eager] {
            let text = complaint(scan.clone().reading(reading).run());
            assert!(text.contains("has str in the column 'name', not numbers"), "{text}");
        }
    }
    assert_eq!(Scan::new(&path).mean_of(["size"]).run().unwrap().groups[0].means, [1.5]);
}

#[test]
fn a_folders_name_is_a_column() {
    let folder = folder();
    for (year, values) in [(2024, [1.0, 3.0]), (2025, [5.0, 9.0])] {
        let part = folder.path().join(format!("t/year={year}"));
        fs::create_dir_all(&part).unwrap();
        write(&part.join("rows.parquet"), DataFrame::new(2, vec![Column::new("x".into(), values.to_vec())]).unwrap());
    }
    let path = folder.path().join("t");
    let by_year = Scan::new(&path).by("year").mean_of(["x"]);
    let (streaming, eager) = (by_year.run().unwrap(), by_year.reading(Reading::Eager).run().unwrap());
    close(&streaming, &eager);
    let groups: Vec<(f64, f64)> = streaming.groups.iter().map(|group| (group.key, group.means[0])).collect();
    assert_eq!(groups, [(2024.0, 2.0), (2025.0, 7.0)]);
    assert_eq!(Scan::new(&path).filter("year", 2025.0, 2026.0).mean_of(["x"]).run().unwrap().groups[0].means, [7.0]);
    // A file that lies elsewhere has no such column; then none has.
    fs::copy(path.join("year=2024/rows.parquet"), path.join("more.parquet")).unwrap();
    assert_eq!(Scan::new(&path).run().unwrap().rows(), 6);
    let text = complaint(Scan::new(&path).by("year").run());
    assert!(text.contains("has no column 'year'; its columns are x"), "{text}");
}
