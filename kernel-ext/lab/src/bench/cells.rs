//! Times cells in this project's kernel and in the stock kernel, in turn.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::report::Row;
use super::stock;
use crate::process::end_with_this_process;
use crate::python::venv_command;
use crate::setup;
use crate::workspace::Workspace;

const CELL_REPEATS: u32 = 30;
const START_REPEATS: u32 = 5;
const STOCK: &str = "evcxr_jupyter 0.22.0";

/// Seconds by kernel name, as the script prints them.
type Samples = BTreeMap<String, Vec<f64>>;

/// A cell with one helper call and one `let`, in warm kernels.
///
/// # Errors
/// When a kernel or a cell fails.
pub fn cell(workspace: &Workspace) -> Result<Vec<Row>> {
    let samples = measure(workspace, "cell", CELL_REPEATS)?;
    Ok(vec![row("cell", "request to reply, median", samples)])
}

/// A kernel's start to the first helper result with a `let`.
///
/// # Errors
/// When a kernel or a cell fails.
pub fn start(workspace: &Workspace) -> Result<Vec<Row>> {
    let samples = measure(workspace, "start", START_REPEATS)?;
    Ok(vec![row("start", "process start to first result, median", samples)])
}

fn row(case: &str, metric: &str, mut samples: Samples) -> Row {
    let ours = samples.remove("onramp").unwrap_or_default();
    let theirs = samples.remove("stock").unwrap_or_default();
    Row::seconds(case, metric, ours, Some((STOCK, &theirs)))
}

fn measure(workspace: &Workspace, what: &str, repeats: u32) -> Result<Samples> {
    setup::run(workspace)?;
    let kernels = stock::install(workspace)?;
    let mut command = venv_command(workspace, "python");
    command.env("JUPYTER_PATH", kernels).current_dir(workspace.notebooks());
    command.arg(workspace.source("tests/bench/cells.py")).arg(what).arg(repeats.to_string());
    end_with_this_process(&mut command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("Python cannot be started")?;
    let output = child.wait_with_output().context("waiting for the benchmark failed")?;
    if !output.status.success() {
        bail!("the benchmark {what:?} failed ({}); its message is above", output.status);
    }
    let samples: Samples = serde_json::from_slice(&output.stdout).context("the benchmark printed no samples")?;
    for kernel in ["onramp", "stock"] {
        let count = samples.get(kernel).map_or(0, Vec::len);
        anyhow::ensure!(count == repeats as usize, "the benchmark gave {count} samples of {kernel}, not {repeats}");
    }
    Ok(samples)
}
