//! Times training steps in this project and in PyTorch, in turn.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::report::Row;
use crate::process::{Log, clean_command, end_with_this_process, run_by_line};
use crate::progress::Progress;
use crate::python::Python;
use crate::setup;
use crate::stamp::write_atomically;
use crate::workspace::Workspace;

const REPEATS: usize = 7;
const REQUIREMENTS: &str = "tests/bench/pytorch-requirements.txt";

/// What `tests/bench/training.py` prints.
#[derive(Deserialize)]
struct Samples {
    version: String,
    points: Vec<Point>,
}

/// Seconds of a step.
#[derive(Deserialize)]
struct Point {
    name: String,
    onramp: Vec<f64>,
    pytorch: Vec<f64>,
}

/// A row for each model, number of rows and number of threads.
///
/// # Errors
/// When PyTorch cannot be installed, or a step fails.
pub fn beside_pytorch(workspace: &Workspace) -> Result<Vec<Row>> {
    setup::run(workspace)?;
    let python = pytorch(workspace)?;
    let mut command = clean_command(python);
    command.arg(workspace.source("tests/bench/training.py")).arg(workspace.worker_program()).arg(REPEATS.to_string());
    end_with_this_process(&mut command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("Python cannot be started")?;
    let output = child.wait_with_output().context("waiting for the benchmark failed")?;
    if !output.status.success() {
        bail!("the benchmark failed ({}); its message is above", output.status);
    }
    let samples: Samples = serde_json::from_slice(&output.stdout).context("the benchmark printed no samples")?;
    let peer = format!("PyTorch {}", samples.version);
    let milliseconds = |seconds: &[f64]| seconds.iter().map(|seconds| 1e3 * seconds).collect::<Vec<f64>>();
    let row = |point: Point| {
        let (ours, theirs) = (milliseconds(&point.onramp), milliseconds(&point.pytorch));
        Row::times("training", &format!("{}: step", point.name), "ms", ours, Some((&peer, &theirs)))
    };
    Ok(samples.points.into_iter().map(row).collect())
}

/// The Python of an environment with PyTorch in it, made on demand: no learner needs it.
fn pytorch(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let folder = workspace.lab().join("pytorch");
    let (python, stamp) = (folder.join("bin/python"), folder.join("installed"));
    let requirements = workspace.source(REQUIREMENTS);
    let wanted = std::fs::read(&requirements).with_context(|| format!("{} is missing", requirements.display()))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let base = Python::find().filter(Python::suffices).context("no Python was found: run `cargo lab doctor`")?;
    let mut log = Log::create(&workspace.lab().join("logs/pytorch.log"))?;
    let mut progress = Progress::new("PyTorch for the benchmark, once (3 GB)");
    let mut make = clean_command(&base.program);
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut install = clean_command(&python);
    install.args(["-m", "pip", "install", "--progress-bar", "off", "--no-input", "--requirement"]).arg(&requirements);
    for command in [&mut make, &mut install] {
        let status = run_by_line(command, |_, line| {
            log.line(line);
            progress.working_on(line);
        })?;
        if !status.success() {
            return Err(log.failure("Installing PyTorch", status));
        }
    }
    write_atomically(&stamp, &wanted)?;
    progress.finish();
    Ok(python)
}
