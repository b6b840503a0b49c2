//! The variables through which evcxr and rust-analyzer find the stand-ins, and how a cell's process gets
//! the learner's own ones back.

use crate::state_folder::{StateFolder, Tools};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const STATE: &str = "ONRAMP_STATE";
const HELPERS: &str = "ONRAMP_HELPERS";
const FOLDER: &str = "ONRAMP_KERNEL_FOLDER";
const REAL_CARGO: &str = "ONRAMP_REAL_CARGO";
const REAL_RUSTC: &str = "ONRAMP_REAL_RUSTC";
/// Variables that are changed for the kernel, each kept under this prefix.
const KEPT: &str = "ONRAMP_KEPT_";
const CHANGED: [&str; 5] = ["PATH", "CARGO_HOME", "CARGO", "RUSTC", "RUST_BACKTRACE"];

/// What a stand-in needs to know, read back from the variables that [`install`] set.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where recordings are.
    pub state: StateFolder,
    /// The kernel's own folder, which is also evcxr's crate.
    pub folder: PathBuf,
    /// The toolchain's own cargo.
    pub cargo: PathBuf,
    /// The toolchain's own rustc.
    pub rustc: PathBuf,
}

impl Surroundings {
    /// Reads them from this process's environment.
    pub fn from_environment() -> Result<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"));
        Ok(Self {
            state: StateFolder { path: path(STATE)?, helpers: path(HELPERS)? },
            folder: path(FOLDER)?,
            cargo: path(REAL_CARGO)?,
            rustc: path(REAL_RUSTC)?,
        })
    }

    /// The variables themselves, for a stand-in that is called by a real tool.
    pub fn variables() -> impl Iterator<Item = (String, OsString)> {
        let own = [STATE, HELPERS, FOLDER, REAL_CARGO, REAL_RUSTC].map(String::from);
        let kept = CHANGED.map(|name| format!("{KEPT}{name}"));
        own.into_iter().chain(kept).filter_map(|name| Some((name.clone(), std::env::var_os(name)?)))
    }

    /// The folder of the stand-ins.
    pub fn stand_ins(&self) -> PathBuf {
        self.folder.join("cargo-home/bin")
    }
}

/// Makes the stand-ins in the kernel's folder and points this process at them.
///
/// # Safety
/// No other thread may run yet: the environment is changed.
pub unsafe fn install(state: &StateFolder, folder: &Path, tools: &Tools) -> Result<()> {
    let bin = folder.join("cargo-home/bin");
    std::fs::create_dir_all(&bin)?;
    let program = std::env::current_exe().context("cannot find the kernel's own program")?;
    for name in ["cargo", "rustc", "rustup"] {
        symlink(&program, bin.join(name)).with_context(|| format!("cannot make {name} in {}", bin.display()))?;
    }
    let mut path = bin.clone().into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let set = |name: &str, value: OsString| unsafe { std::env::set_var(name, value) };
    for name in CHANGED {
        if let Some(value) = std::env::var_os(name) {
            set(&format!("{KEPT}{name}"), value);
        }
    }
    set("PATH", path);
    set("CARGO_HOME", folder.join("cargo-home").into());
    set("CARGO", bin.join("cargo").into());
    set("RUSTC", tools.rustc.clone().into());
    set(STATE, state.path.clone().into());
    set(HELPERS, state.helpers.clone().into());
    set(FOLDER, folder.into());
    set(REAL_CARGO, tools.cargo.clone().into());
    set(REAL_RUSTC, tools.rustc.clone().into());
    set("EVCXR_TMPDIR", folder.into());
    Ok(())
}

/// Gives `command` the environment from before [`install`].
pub fn restore(command: &mut Command) {
    for name in CHANGED {
        match std::env::var_os(format!("{KEPT}{name}")) {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
        command.env_remove(format!("{KEPT}{name}"));
    }
    for name in [STATE, HELPERS, FOLDER, REAL_CARGO, REAL_RUSTC, "EVCXR_TMPDIR", "EVCXR_IS_RUNTIME"] {
        command.env_remove(name);
    }
}
