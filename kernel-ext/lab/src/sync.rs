//! `cargo lab sync`: writes the lessons' notebooks from their text sources, or checks that they are current.

use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::python::venv_command;
use crate::workspace::Workspace;

/// Runs the script that knows jupytext, and lets it print.
///
/// # Errors
/// When a notebook is not current (only with `check`), or a source cannot be read.
pub fn run(workspace: &Workspace, check: bool) -> Result<()> {
    let mut command = venv_command(workspace, "python");
    command.arg(workspace.script("sync.py"));
    if check {
        command.arg("--check");
    }
    command.arg(workspace.notebooks()).arg(workspace.lab().join("replaced"));
    let status: ExitStatus =
        command.stdin(Stdio::null()).status().context("jupytext cannot be started: run `cargo lab setup`")?;
    if !status.success() {
        bail!("the notebooks are not what their sources say; the lines above name them");
    }
    Ok(())
}
