//! Times cells in this project's kernel and in the stock kernel, in turn.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::report::{Row, median};
use super::stock;
use crate::process::end_with_this_process;
use crate::python::venv_command;
use crate::setup;
use crate::workspace::Workspace;

const LONG_REPEATS: u32 = 500;
/// Cells at the beginning and at the end that are compared.
const LONG_ENDS: usize = 20;
const STOCK: &str = "evcxr_jupyter 0.22.0";

/// Seconds by kernel name, as the script prints them.
type Samples = BTreeMap<String, Vec<f64>>;

/// Samples of what `tests/bench/cells.py` calls by this name, a row for each peer.
///
/// # Errors
/// When a kernel or a cell fails.
pub fn beside_peers(workspace: &Workspace, name: &str, metric: &str, repeats: u32) -> Result<Vec<Row>> {
    let mut samples = measure(workspace, name, repeats)?;
    let ours = samples.remove("onramp").unwrap_or_default();
    let row = |(peer, theirs): (String, Vec<f64>)| {
        let peer = if peer == "stock" { STOCK } else { "rustc 1.95 alone, same source" };
        Row::seconds(name, metric, ours.clone(), Some((peer, &theirs)))
    };
    // Stock before rustc.
    Ok(samples.into_iter().rev().map(row).collect())
}

/// Many cells that redefine the same ten variables: whether the last ones are slower, or memory is lost.
///
/// # Errors
/// When the kernel or a cell fails.
pub fn long(workspace: &Workspace) -> Result<Vec<Row>> {
    let samples = measure(workspace, "long", LONG_REPEATS)?;
    let (Some(seconds), Some([before, after])) = (samples.get("seconds"), samples.get("memory").map(Vec::as_slice))
    else {
        bail!("the benchmark gave neither times nor memory");
    };
    anyhow::ensure!(seconds.len() == LONG_REPEATS as usize, "the benchmark gave {} samples", seconds.len());
    let (first, last) = (&seconds[..LONG_ENDS], &seconds[seconds.len() - LONG_ENDS..]);
    let slower = median(last) / median(first);
    Ok(vec![
        Row::seconds("long", "request to reply, median of all", seconds.clone(), None),
        Row::plain("long", "last 20 cells over first 20", slower, "times"),
        Row::plain("long", "idle memory with the library loaded", *before, "MB"),
        Row::plain("long", "memory after all cells over before", after / before, "times"),
    ])
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
    for (name, values) in samples.iter().filter(|(name, _)| *name != "memory") {
        let count = values.len();
        anyhow::ensure!(count == repeats as usize, "the benchmark gave {count} samples of {name}, not {repeats}");
    }
    Ok(samples)
}
