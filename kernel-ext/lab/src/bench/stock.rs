//! The peer: stock `evcxr_jupyter`, installed on demand below the target folder and given the same prebuilt library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cargo_build::watch;
use crate::process::clean_command;
use crate::progress::Progress;
use crate::stamp::write_atomically;
use crate::workspace::Workspace;

const VERSION: &str = "0.22.0";

/// The name of the stock kernel's entry in Jupyter.
const KERNEL: &str = "stock";

/// Makes sure that the stock kernel is there; returns the folder for `JUPYTER_PATH`.
///
/// # Errors
/// When it cannot be installed or its folders cannot be made.
pub fn install(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.lab().join("stock");
    let program = root.join("bin/evcxr_jupyter");
    if !program.is_file() {
        compile(workspace, &root)?;
    }
    let scratch = workspace.lab().join("stock-tmp");
    share_build(workspace, &scratch)?;
    let kernels = root.join("jupyter");
    let specification = json!({
        "argv": [program, "--control_file", "{connection_file}"],
        "display_name": "Rust (stock evcxr)",
        "language": "rust",
        "env": { "EVCXR_TMPDIR": scratch },
    });
    let file = kernels.join("kernels").join(KERNEL).join("kernel.json");
    write_atomically(&file, &serde_json::to_vec_pretty(&specification)?)?;
    Ok(kernels)
}

/// Installed as its users do: from outside the workspace, whose profile and flags would otherwise apply.
fn compile(workspace: &Workspace, root: &Path) -> Result<()> {
    let mut progress = Progress::new("stock evcxr_jupyter, once");
    let outside = tempfile::tempdir().context("no temporary folder can be made")?;
    let mut command = clean_command("cargo");
    command
        .current_dir(outside.path())
        .args(["install", "evcxr_jupyter", "--version", VERSION, "--locked", "--root"])
        .arg(root);
    command.env("CARGO_TARGET_DIR", root.join("build"));
    if let Some(toolchain) = std::env::var_os("RUSTUP_TOOLCHAIN") {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    let task = "Installing stock evcxr_jupyter";
    if let Err(error) = watch(workspace, task, "stock", "Compiling", &mut command, &mut progress) {
        progress.abandon();
        return Err(error);
    }
    progress.finish();
    // The build's leftovers are ten times the program's size.
    let _ = fs::remove_dir_all(root.join("build"));
    Ok(())
}

/// Gives the stock kernel the workspace's lock file and a copy of what is compiled, so that it finds the libraries.
///
/// The helper library itself is left out: stock evcxr compiles it as a dependency of the cell's crate, under the same
/// file name as the workspace's own, which must not be overwritten.
fn share_build(workspace: &Workspace, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch).with_context(|| format!("{} cannot be made", scratch.display()))?;
    fs::copy(workspace.source("Cargo.lock"), scratch.join("Cargo.lock")).context("Cargo.lock cannot be copied")?;
    for from in [workspace.target().join("debug"), workspace.artifacts()] {
        let inside = from.strip_prefix(workspace.target()).context("artifacts lie below the target folder")?;
        let to = scratch.join("target").join(inside);
        if to.exists() || !from.exists() {
            continue;
        }
        fs::create_dir_all(&to).with_context(|| format!("{} cannot be made", to.display()))?;
        for part in ["deps", "build", ".fingerprint"] {
            let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from.join(part)).arg(&to).status();
            anyhow::ensure!(
                copied.is_ok_and(|status| status.success()),
                "{} cannot be copied",
                from.join(part).display()
            );
        }
    }
    Ok(())
}
