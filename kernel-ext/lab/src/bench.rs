//! `cargo lab bench`: measures, beside a peer where there is one, and prints a table.

mod cells;
mod cold;
mod data;
mod machine;
mod peer;
mod report;
mod serving;
mod stock;
mod training;

use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use report::{Report, Row};

/// One benchmark.
struct Bench {
    /// How it is asked for by name.
    name: &'static str,
    /// What it measures.
    about: &'static str,
    /// Runs it. The flag asks for a cold start where the benchmark has one.
    run: fn(&Workspace, bool) -> Result<Vec<Row>>,
}

const BENCHES: [Bench; 10] = [
    Bench {
        name: "cell",
        about: "a cell with one helper call and one let, beside stock evcxr_jupyter and plain rustc",
        run: |workspace, _| cells::beside_peers(workspace, "cell", "request to reply, median", 30),
    },
    Bench {
        name: "plain",
        about: "a cell without dependencies, beside stock evcxr_jupyter and plain rustc",
        run: |workspace, _| cells::beside_peers(workspace, "plain", "request to reply, median", 30),
    },
    Bench {
        name: "start",
        about: "kernel process start to the first helper result with a let, beside stock evcxr_jupyter",
        run: |workspace, _| cells::beside_peers(workspace, "start", "process start to first result, median", 5),
    },
    Bench {
        name: "info",
        about: "kernel process start to its answer to kernel_info, beside stock evcxr_jupyter",
        run: |workspace, _| cells::beside_peers(workspace, "info", "process start to kernel_info, median", 30),
    },
    Bench {
        name: "long",
        about: "500 cells that redefine the same ten variables: time and memory",
        run: |workspace, _| cells::long(workspace),
    },
    Bench {
        name: "training",
        about: "training steps beside PyTorch, two workers on one machine, an all-reduce, and the roofline",
        run: |workspace, _| training::training(workspace),
    },
    Bench {
        name: "data",
        about: "a table of 100 million rows: written, and its groups' means beside DuckDB (4 GB of disk)",
        run: |workspace, _| data::data(workspace),
    },
    Bench {
        name: "serving",
        about: "a served model: its own cost, batches, capacity, 10 minutes of load, overload, beside FastAPI (1 GB of disk)",
        run: |workspace, _| serving::serving(workspace),
    },
    Bench { name: "setup", about: "the steps of a set-up; --cold does one with empty caches", run: cold::setup },
    Bench { name: "ci", about: "one run of .ci/run; --cold does one with empty caches", run: cold::ci },
];

/// Runs the named benchmarks, or all, prints their rows and writes them to `json`.
///
/// # Errors
/// When a name is unknown, a benchmark fails (the rows of the others are printed and written), or the file cannot
/// be written.
pub fn run(workspace: &Workspace, names: &[String], json: Option<&Path>, cold: bool) -> Result<()> {
    let mut report = Report::new(machine::describe(workspace));
    let mut failures = Vec::new();
    for bench in chosen(names)? {
        eprintln!("{}: {}", bench.name, bench.about);
        match (bench.run)(workspace, cold) {
            Ok(rows) => report.rows.extend(rows),
            // What the others measured took minutes: it is kept.
            Err(error) => failures.push(format!("{}: {error:#}", bench.name)),
        }
    }
    print!("{}", report.table());
    if let Some(path) = json {
        report.write(path)?;
        println!("written to {}", path.display());
    }
    anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Bench>> {
    for name in names {
        if !BENCHES.iter().any(|bench| bench.name == name) {
            let known: Vec<String> = BENCHES.iter().map(|bench| format!("{} ({})", bench.name, bench.about)).collect();
            bail!("there is no benchmark {name:?}; the benchmarks are:\n  {}", known.join("\n  "));
        }
    }
    Ok(BENCHES.iter().filter(|bench| names.is_empty() || names.iter().any(|name| name == bench.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_benchmark_is_named_with_those_that_exist() {
        let error = chosen(&["sell".to_owned()]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("\"sell\"") && error.contains("cell ("), "{error}");
    }
}
