//! The folder in which set-up keeps what every kernel starts from, and each kernel its own part.
//!
//! ```text
//! state/
//!   tools.json        the real cargo and rustc, and what the recordings were made from
//!   answers/          what cargo answered, by question
//!   recipes/          how cargo had a cell compiled, by manifest
//!   runtime/          the crate that keeps variables between cells, compiled
//!   kernels/PID/      one running kernel: evcxr's crate, its compiled cells, the stand-ins
//! ```

use crate::stand_in::cell_source::VARIABLES;
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The fix for everything that is missing or stale here.
const FIX: &str = "Run `cargo lab setup` in the project's folder, then restart the kernel.";

/// See the module.
#[derive(Debug, Clone)]
pub struct StateFolder {
    /// The folder itself.
    pub path: PathBuf,
    /// The helper crate's folder.
    pub helpers: PathBuf,
}

/// The real tools behind the stand-ins, and what the recordings were made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    /// The toolchain's own cargo.
    pub cargo: PathBuf,
    /// The toolchain's own rustc.
    pub rustc: PathBuf,
    /// Hash over everything that makes recordings invalid when it changes.
    pub made_from: String,
    /// The helper library that cells are linked to.
    pub library: PathBuf,
}

impl Tools {
    /// When the helper library was compiled.
    pub fn built(&self) -> Result<SystemTime> {
        let changed = fs::metadata(&self.library).and_then(|m| m.modified());
        changed.map_err(|error| {
            anyhow!("The compiled helper library {} is not there ({error}). {FIX}", self.library.display())
        })
    }
}

impl StateFolder {
    /// The state below `path` for the helper crate in `helpers`.
    pub fn new(path: &Path, helpers: &Path) -> Result<Self> {
        let helpers = helpers
            .canonicalize()
            .with_context(|| format!("the helper crate's folder {} is not there", helpers.display()))?;
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path: path.canonicalize()?, helpers })
    }

    /// Where cargo's answers are kept.
    pub fn answers(&self) -> PathBuf {
        self.path.join("answers")
    }

    /// Where compiler commands are kept.
    pub fn recipes(&self) -> PathBuf {
        self.path.join("recipes")
    }

    /// The crate that keeps variables between cells, compiled.
    pub fn cell_runtime(&self) -> PathBuf {
        self.path.join("runtime").join(format!("lib{VARIABLES}.so"))
    }

    /// What [`Self::save_tools`] saved.
    ///
    /// # Errors
    /// When set-up was never finished here.
    pub fn tools(&self) -> Result<Tools> {
        let Ok(text) = fs::read_to_string(self.path.join("tools.json")) else {
            bail!("Nothing has been set up yet. {FIX}");
        };
        serde_json::from_str(&text).map_err(|_| anyhow!("{} is damaged. {FIX}", self.path.join("tools.json").display()))
    }

    /// Saves the tools, atomically.
    pub fn save_tools(&self, tools: &Tools) -> Result<()> {
        write_atomically(&self.path.join("tools.json"), &serde_json::to_vec_pretty(tools)?)
    }

    /// Hash over what the recordings depend on: the manifests, the lock file, cargo's configuration, the compiler, and
    /// this program.
    pub fn made_from(&self, rustc: &Path) -> Result<String> {
        let root = self.workspace();
        let mut hash = Sha256::new();
        for file in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "helpers/Cargo.toml"] {
            let path = if file.starts_with("helpers") { self.helpers.join("Cargo.toml") } else { root.join(file) };
            hash.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
        let version = std::process::Command::new(rustc).arg("-vV").output();
        hash.update(version.with_context(|| format!("cannot run {}", rustc.display()))?.stdout);
        // Another kernel may record other things.
        let kernel = std::env::current_exe().and_then(fs::metadata).and_then(|kernel| kernel.modified());
        let kernel = kernel.context("cannot find the kernel's own program")?;
        hash.update(format!("{:?}", kernel.duration_since(SystemTime::UNIX_EPOCH)));
        Ok(format!("{:x}", hash.finalize()))
    }

    /// The workspace that the helper crate belongs to; its lock file holds for cells, too.
    pub fn workspace(&self) -> &Path {
        self.helpers.parent().unwrap_or(&self.helpers)
    }

    /// The workspace's target folder, into which everything is compiled.
    pub fn target(&self) -> PathBuf {
        self.workspace().join("target")
    }

    /// The compiled library of the crate `name` for the platform `target`.
    pub fn library(&self, target: &str, name: &str) -> PathBuf {
        self.target().join(target).join("debug/deps").join(format!("lib{name}.so"))
    }

    /// Refuses to start from recordings that no longer fit the sources.
    pub fn check_fresh(&self) -> Result<Tools> {
        let tools = self.tools()?;
        if self.made_from(&tools.rustc)? != tools.made_from {
            bail!(
                "The project's manifests, its lock file, the compiler or the kernel changed since it was set up. {FIX}"
            );
        }
        if let Some(newer) = newer_source(&self.helpers.join("src"), tools.built()?)? {
            bail!("{} changed after the helper library was compiled. {FIX}", newer.display());
        }
        Ok(tools)
    }

    /// Makes the folder of one kernel, and removes those of kernels that are gone.
    pub fn make_kernel_folder(&self) -> Result<PathBuf> {
        let kernels = self.path.join("kernels");
        fs::create_dir_all(&kernels)?;
        for entry in fs::read_dir(&kernels)?.flatten() {
            let pid = entry.file_name().to_string_lossy().parse::<u32>().ok();
            if !pid.is_some_and(is_kernel) {
                // Another kernel may be removing it as well.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = kernels.join(std::process::id().to_string());
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

/// Whether a process with this id runs a kernel: one that has ended and waits to be noticed does not, and neither does
/// another program that was given the id of a kernel that is gone.
fn is_kernel(pid: u32) -> bool {
    let name =
        |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().trim_end_matches(" (deleted)").to_owned());
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok().and_then(name);
    program.is_some() && program == std::env::current_exe().ok().and_then(name)
}

fn newer_source(folder: &Path, than: SystemTime) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = newer_source(&entry.path(), than)? {
                return Ok(Some(found));
            }
        } else if entry.metadata()?.modified()? > than {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Writes a file whole or not at all.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, content)?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
