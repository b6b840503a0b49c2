//! `cargo lab`: opens JupyterLab on the first lesson.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};

use crate::python::venv_command;
use crate::requirement::{JUPYTER_PORT, free_port};
use crate::workspace::{FIRST_LESSON, Workspace};

/// Becomes JupyterLab: returns only when that fails.
///
/// # Errors
/// When no port is free or JupyterLab cannot be started.
pub fn open(workspace: &Workspace) -> Result<()> {
    let Some(port) = free_port(JUPYTER_PORT) else {
        bail!("no port from {JUPYTER_PORT} on is free: stop a program that listens there, then run `cargo lab` again");
    };
    if port != JUPYTER_PORT {
        eprintln!("Port {JUPYTER_PORT} is taken by another program; JupyterLab uses {port}.");
    }
    let mut command = venv_command(workspace, "jupyter");
    command.current_dir(workspace.notebooks()).args(["lab", "--ServerApp.port_retries=0"]);
    command.arg(format!("--ServerApp.port={port}"));
    command.arg(format!("--ServerApp.root_dir={}", workspace.notebooks().display()));
    command.arg(format!("--LabApp.default_url=/lab/tree/{FIRST_LESSON}"));
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        eprintln!("Running as root, as in a container: JupyterLab is told that this is meant.");
        command.arg("--allow-root");
    }
    // The prompt at Ctrl-C belongs to JupyterLab: taking this process's place leaves nobody between it and the terminal.
    Err(command.exec()).context("JupyterLab could not be started: run `cargo lab doctor`")
}
