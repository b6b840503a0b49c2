//! What set-up does once, so that kernels start quickly: finds the tools, and warms up as a kernel does, which records
//! every answer and every compiler command on the way.

use crate::evaluator::Evaluator;
use crate::jupyter::Outbox;
use crate::stand_in::cell_source::VARIABLES;
use crate::state_folder::{StateFolder, Tools, write_atomically};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prepares `state` for the helper crate in `helpers`. Quick when it is up to date.
pub fn prepare(helpers: &Path, state: &Path) -> Result<()> {
    let state = StateFolder::new(state, helpers)?;
    if state.check_fresh().is_ok() {
        println!("the cells' template is up to date");
        return Ok(());
    }
    for recorded in [state.answers(), state.recipes(), state.path.join("tools.json")] {
        let gone = if recorded.is_dir() { std::fs::remove_dir_all(&recorded) } else { std::fs::remove_file(&recorded) };
        match gone {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", recorded.display()));
            }
            _ => {}
        }
    }
    println!("recording how cells are compiled");
    let rustc = tool("rustc", &state.helpers)?;
    let host = host(&rustc)?;
    let tools = Tools {
        cargo: tool("cargo", &state.helpers)?,
        made_from: state.made_from(&rustc)?,
        library: state.library(&host, "onramp"),
        rustc,
    };
    tools.built()?;
    compile_runtime(&state, &tools.rustc, &host)?;
    let folder = state.make_kernel_folder()?;
    let evaluator = Evaluator::for_preparation(state.clone(), &folder, &tools, Outbox::nowhere())?;
    let warmed_up = evaluator.warm_up();
    evaluator.interrupter().end();
    warmed_up?;
    state.save_tools(&tools)?;
    println!("the cells' template is ready");
    Ok(())
}

/// Compiles the crate that keeps variables between cells.
fn compile_runtime(state: &StateFolder, rustc: &Path, host: &str) -> Result<()> {
    let library = state.cell_runtime();
    let folder = library.parent().context("a file has a folder")?;
    let source = folder.join("lib.rs");
    write_atomically(&source, include_bytes!("../cell_runtime/lib.rs"))?;
    let output = Command::new(rustc)
        .args(["--crate-type=dylib", "--edition=2024", "-Copt-level=1", "-Cprefer-dynamic", "--target", host])
        .args(["--crate-name", VARIABLES, "--out-dir"])
        .args([folder, source.as_path()])
        .output()
        .with_context(|| format!("cannot run {}", rustc.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "the crate that keeps variables does not compile:\n{said}");
    Ok(())
}

/// The platform that rustc compiles for when nothing else is said.
fn host(rustc: &Path) -> Result<String> {
    let output = Command::new(rustc).arg("-vV").output().with_context(|| format!("cannot run {}", rustc.display()))?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// The toolchain's own program, not rustup's proxy, which would decide anew at each call.
fn tool(name: &str, folder: &Path) -> Result<PathBuf> {
    let asked = Command::new("rustup").args(["which", name]).current_dir(folder).output();
    if let Ok(output) = asked
        && output.status.success()
    {
        return Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("`{name}` was not found: install Rust from rustup.rs"))
}
