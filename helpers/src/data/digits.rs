//! Real handwritten digits: 1,797 grey images of 8 by 8 pixels from the UCI repository.
//!
//! Read from `datasets/digits.parquet`; its origin and licence are in `datasets/README.md`.

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, ParquetReader, SerReader};
use sha2::{Digest, Sha256};

use super::Dataset;
use crate::error::{Error, Result};

/// Pixels of an image.
pub const COLUMNS: usize = 64;
/// The digits 0 to 9.
pub const CLASSES: usize = 10;

const FILE: &str = "digits.parquet";
const CHECKSUM: &str = "f437f8d1b0c90f2a0c2c8b8a7b48550abc5bb6bf8e57d35a7f6f02515ce90d59";
/// The brightest pixel in the file.
const WHITE: f32 = 16.0;
const REPAIR: &str = "restore it with `git checkout -- datasets/digits.parquet`";

/// Reads the digits; pixels are scaled to the range from 0 to 1.
///
/// The file is looked for in the folder that the environment variable `ONRAMP_DATASETS` names, then in the
/// `datasets` folder beside this crate.
///
/// # Errors
/// [`Error::Data`] when the file is missing, or its SHA-256 is not the expected one.
pub fn load() -> Result<Dataset> {
    load_from(&folder().join(FILE))
}

/// Reads the digits from this file.
///
/// # Errors
/// As for [`load`].
pub fn load_from(path: &Path) -> Result<Dataset> {
    let bytes = fs::read(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::data(path, format!("is missing; {REPAIR}")),
        _ => Error::data(path, format!("can't be read ({cause}); {REPAIR}")),
    })?;
    let found = hex(&Sha256::digest(&bytes));
    if found != CHECKSUM {
        return Err(Error::data(
            path,
            format!(
                "is damaged: its SHA-256 begins with {} where {} was expected; {REPAIR}",
                &found[..12],
                &CHECKSUM[..12]
            ),
        ));
    }
    let unreadable =
        |cause: polars::prelude::PolarsError| Error::data(path, format!("can't be read ({cause}); {REPAIR}"));
    let frame = ParquetReader::new(Cursor::new(bytes)).finish().map_err(unreadable)?;
    from_frame(&frame).map_err(unreadable)?
}

/// One column per pixel, `pixel_00` to `pixel_63`, and one called `digit`.
fn from_frame(frame: &DataFrame) -> polars::prelude::PolarsResult<Result<Dataset>> {
    let rows = frame.height();
    let mut features = vec![0.0; rows * COLUMNS];
    for pixel in 0..COLUMNS {
        let column = frame.column(&format!("pixel_{pixel:02}"))?;
        for (row, value) in column.i32()?.into_no_null_iter().enumerate() {
            features[row * COLUMNS + pixel] = value as f32 / WHITE;
        }
    }
    let labels = frame.column("digit")?.i32()?.into_no_null_iter().map(|digit| digit as u32).collect();
    Ok(Dataset::new("digits", COLUMNS, CLASSES, features, labels))
}

fn folder() -> PathBuf {
    match std::env::var_os("ONRAMP_DATASETS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
