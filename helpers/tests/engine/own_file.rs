//! The learner's own CSV and Parquet files, good and bad.

use std::fs;
use std::path::PathBuf;

use onramp::data::file;
use onramp::prelude::*;
use polars::prelude::{IntoColumn, NamedFrom};
use tempfile::TempDir;

use super::complaint;

/// 100 rows of two numbers; the class, 3 or 7, is whether their sum is above 0.
fn good() -> String {
    let number = |i: usize| ((i * 37 % 101) as f64 / 50.0) - 1.0;
    let rows = (0..100).map(|i| {
        let (a, b) = (number(i), number(3 * i + 5));
        format!("{a},{b},{}\n", if a + b > 0.0 { 7 } else { 3 })
    });
    format!("a,b,kind\n{}", rows.collect::<String>())
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// What is said of a CSV file with this content.
    fn complaint(&self, content: &str) -> String {
        complaint(file::load(&self.write("mine.csv", content), "kind"))
    }
}

#[test]
fn a_csv_file_is_read_and_its_classes_numbered() {
    let set = file::load(&Folder::new().write("mine.csv", good()), "kind").unwrap();
    assert_eq!((set.name(), set.rows(), set.columns(), set.classes()), ("mine", 100, 2, 2));
    assert_eq!(set.row(1), [-0.26, 0.88]);
    for row in 0..100 {
        let sum: f32 = set.row(row).iter().sum();
        assert_eq!(set.labels()[row], u32::from(sum > 1e-6), "row {row}");
    }
}

#[test]
fn a_parquet_file_says_the_same() {
    let folder = Folder::new();
    let csv = file::load(&folder.write("mine.csv", good()), "kind").unwrap();
    let path = folder.0.path().join("mine.parquet");
    let column = |index: usize| -> Vec<f64> { (0..100).map(|row| f64::from(csv.row(row)[index])).collect() };
    let kinds: Vec<i64> = csv.labels().iter().map(|label| if *label == 1 { 7 } else { 3 }).collect();
    let series = |name: &str, values: Vec<f64>| polars::prelude::Series::new(name.into(), values).into_column();
    let kind = polars::prelude::Series::new("kind".into(), kinds).into_column();
    let mut frame =
        polars::prelude::DataFrame::new(100, vec![kind, series("a", column(0)), series("b", column(1))]).unwrap();
    polars::prelude::ParquetWriter::new(fs::File::create(&path).unwrap()).finish(&mut frame).unwrap();
    assert_eq!(file::load(&path, "kind").unwrap(), csv);

    let whole = fs::read(&path).unwrap();
    let text = complaint(file::load(&folder.write("cut.parquet", &whole[..whole.len() / 2]), "kind"));
    assert!(text.contains("cut.parquet is damaged or no parquet file"), "{text}");
}

#[test]
fn a_model_learns_from_the_file() {
    let folder = Folder::new();
    let data = Source::file(folder.write("mine.csv", good()), "kind");
    let run =
        Training::new(Mlp::new(16).inputs(2).outputs(2)).data(data.clone()).rows_per_step(16).steps(400).run().unwrap();
    assert!(run.accuracy() > 0.8, "{}", run.accuracy());
    let text = complaint(Training::new(Mlp::new(16)).data(data).run());
    assert!(text.contains("has 2 columns and 2 classes; build it with .inputs(2).outputs(2)"), "{text}");
}

#[test]
fn what_can_t_be_learned_from_is_named() {
    let folder = Folder::new();
    let good = good();
    let replaced = |line: usize, with: &str| {
        let mut lines: Vec<&str> = good.lines().collect();
        lines[line] = with;
        lines.join("\n")
    };
    let cases = [
        (replaced(0, "a,b,class"), "has no column 'kind'; its columns are 'a', 'b', 'class'"),
        (replaced(4, "0.5,,3"), "has 1 missing value in the column 'b', the first in row 4"),
        (replaced(4, "0.5,0.1,"), "has 1 missing value in the column 'kind', the first in row 4"),
        (replaced(5, "0.5,high,3"), "has 'high' in row 5 of the column 'b', which is no number"),
        (replaced(6, "0.5,0.1,cat"), "has 'cat' in row 6 of the column 'kind', which is no number"),
        (replaced(7, "0.5,0.1,1.5"), "has 1.5 in row 7 of the column 'kind', but a class is a whole number"),
        (replaced(8, "0.5,inf,3"), "has inf in row 8 of the column 'b', which is no finite 32-bit number"),
        (good.lines().take(10).collect::<Vec<_>>().join("\n"), "has 9 rows; at least 20 are needed"),
        (good.replace(",7\n", ",3\n"), "has only the class 3 in the column 'kind'"),
        (replaced(9, "0.5,0.1,3,4,5"), "is damaged or no csv file"),
        (String::new(), "is empty"),
    ];
    for (content, said) in cases {
        let text = folder.complaint(&content);
        assert!(text.contains("mine.csv") && text.contains(said), "'{text}' instead of '{said}'");
    }
    let regression: String = (0..40).map(|i| format!("{i},{}\n", 2 * i)).collect();
    let text = folder.complaint(&format!("a,kind\n{regression}"));
    assert!(text.contains("40 different values in the 40 rows"), "{text}");
    let alone: String = (0..40).map(|i| format!("{}\n", i % 2)).collect();
    assert!(folder.complaint(&format!("kind\n{alone}")).contains("has no column but 'kind'"));
}

#[test]
fn what_is_no_table_is_named() {
    let folder = Folder::new();
    let text = complaint(file::load(&folder.0.path().join("none.csv"), "kind"));
    assert!(text.contains("none.csv is missing"), "{text}");
    let text = complaint(file::load(&folder.write("mine.xlsx", "PK"), "kind"));
    assert!(text.contains("is neither .csv nor .parquet"), "{text}");
    fs::create_dir(folder.0.path().join("folder.csv")).unwrap();
    let text = complaint(file::load(&folder.0.path().join("folder.csv"), "kind"));
    assert!(text.contains("is a folder"), "{text}");
}
