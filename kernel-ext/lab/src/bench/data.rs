//! Writing and summing up a table that is larger than what is kept of it in memory, beside DuckDB.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::peer::{answer, environment, experiment};
use super::report::Row;
use crate::process::clean_command;
use crate::setup;
use crate::workspace::Workspace;

const ROWS: usize = 100_000_000;
const COLUMNS: usize = 8;
const REPEATS: usize = 5;

/// What is read of a table that was written.
#[derive(Deserialize)]
struct Written {
    bytes: u64,
    seconds: f64,
    peak_memory_bytes: u64,
}

/// What `tests/bench/aggregate.py` prints: seconds and bytes.
#[derive(Deserialize)]
struct Samples {
    version: String,
    onramp: Vec<f64>,
    onramp_memory: Vec<f64>,
    duckdb: Vec<f64>,
    duckdb_memory: Vec<f64>,
}

/// Rows of the report: the table made, then the means of its groups.
///
/// # Errors
/// When DuckDB cannot be installed, the disk has no 4 GB left, or a run fails.
pub fn data(workspace: &Workspace) -> Result<Vec<Row>> {
    setup::run(workspace)?;
    let path = workspace.lab().join("bench-data/table.parquet");
    let teacher = json!({"rows": ROWS, "seed": 0, "columns": COLUMNS});
    let layout = json!("parquet");
    let written: Written =
        experiment(workspace, "write_table", json!({"path": path, "table": {"teacher": teacher}, "layout": layout}))?;
    let gigabytes = |bytes: f64| 1e-9 * bytes;
    let name = format!("{ROWS} rows x {COLUMNS} columns");
    let mut rows = vec![Row::plain("table", &format!("{name}: Parquet"), gigabytes(written.bytes as f64), "GB")];
    // A table that was there already took no time.
    if written.seconds > 1.0 {
        rows.push(Row::plain("table", &format!("{name}: made and written"), written.seconds, "s"));
        let memory = gigabytes(written.peak_memory_bytes as f64);
        rows.push(Row::plain("table", &format!("{name}: most memory meanwhile"), memory, "GB"));
    }
    let python = environment(workspace, "duckdb", "DuckDB for the benchmark, once")?;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let mut command = clean_command(python);
    command.arg(workspace.source("tests/bench/aggregate.py")).arg(workspace.worker_program()).arg(&path);
    command.arg(threads.to_string()).arg(REPEATS.to_string());
    let samples: Samples = answer(command, &Value::Null)?;
    let peer = format!("DuckDB {}", samples.version);
    let metric = format!("{name}, means of 10 groups, {threads} threads");
    rows.push(Row::seconds("aggregate", &metric, samples.onramp, Some((&peer, &samples.duckdb))));
    let all = |bytes: Vec<f64>| bytes.into_iter().map(gigabytes).collect::<Vec<_>>();
    let (ours, theirs) = (all(samples.onramp_memory), all(samples.duckdb_memory));
    rows.push(Row::times("aggregate", &format!("{metric}: most memory"), "GB", ours, Some((&peer, &theirs))));
    Ok(rows)
}
