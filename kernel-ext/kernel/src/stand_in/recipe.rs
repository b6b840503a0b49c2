//! How cargo had a cell compiled, recorded once, then run without cargo.
//!
//! A recipe belongs to the dependencies in the cell's manifest. It holds as long as every library that it links
//! is the one that it was recorded with.
//!
//! The helper crate is left out of what cargo sees, and linked as the workspace's own build made it: there is one
//! compiled helper library, for cells, tests and programs, and a further `:dep` never compiles it again. What other
//! crates a cell depends on is compiled into the workspace's target folder and stays there for the next kernel.

use super::{cell_source, exit_code, real_cargo};
use crate::environment::Surroundings;
use crate::state_folder::write_atomically;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

/// The crate name that evcxr gives to a cell.
const CELL: &str = "ctx";
/// Tells the recorder where to write.
const RECORD: &str = "ONRAMP_RECORD";
/// Set by evcxr: the file in which it looks for the path of the compiled cell.
const OUTPUT_FILE: &str = "EVCXR_EXECUTION_SO_PATH";
/// In the kernel's folder while a cell is compiled that asked for a level of its own.
const OPT_LEVEL: &str = "opt-level";
/// Stands for the kernel's own folder in what is recorded for all kernels.
pub const FOLDER: &str = "{kernel-folder}";

/// A compiler's command line and what it depends on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recipe {
    arguments: Vec<String>,
    /// The variables that cargo sets, which `env!` reads.
    variables: BTreeMap<String, String>,
    /// The libraries and their time of change.
    libraries: BTreeMap<PathBuf, SystemTime>,
}

/// The dependencies in the manifest of the cell's crate, which is what a recipe and most answers depend on.
pub fn dependencies(folder: &Path) -> String {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let mut lines: Vec<_> = dependencies.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Whether a line of the dependencies is the helper crate's, and its name in cells.
fn helper<'a>(around: &Surroundings, line: &'a str) -> Option<&'a str> {
    let path = format!("\"{}\"", around.state.helpers.display());
    line.contains(&path).then(|| line.split('=').next().unwrap_or_default().trim())
}

fn path(around: &Surroundings) -> PathBuf {
    let hash = Sha256::digest(dependencies(&around.folder));
    around.state.recipes().join(format!("{hash:x}.json"))
}

impl Recipe {
    /// The recipe for the crate as it is, if there is one and it still holds.
    pub fn find(around: &Surroundings) -> Result<Option<Self>> {
        let Ok(text) = std::fs::read_to_string(path(around)) else { return Ok(None) };
        let Ok(recipe) = serde_json::from_str::<Self>(&text) else { return Ok(None) };
        let unchanged = recipe.libraries.iter().all(|(path, then)| changed(path).is_some_and(|now| now == *then));
        Ok(unchanged.then_some(recipe))
    }

    /// Compiles, or only checks, the cell.
    pub fn compile(&self, around: &Surroundings, command: &str) -> Result<ExitCode> {
        let out = around.folder.join("cells");
        std::fs::create_dir_all(&out)?;
        let mut rustc = Command::new(&around.rustc);
        crate::environment::restore(&mut rustc);
        let folder = around.folder.to_string_lossy();
        rustc
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value.replace(FOLDER, &folder))))
            .arg("--out-dir")
            .arg(&out)
            .arg(if command == "check" { "--emit=metadata" } else { "--emit=link" });
        let runtime = around.state.cell_runtime();
        if runtime.exists() {
            rustc.arg("--extern").arg(format!("{}={}", cell_source::VARIABLES, runtime.display()));
        }
        if let Some(level) = opt_level(&around.folder) {
            rustc.arg(format!("-Copt-level={level}"));
        }
        let status = rustc.status().with_context(|| format!("cannot run {}", around.rustc.display()))?;
        if let (true, Some(file)) = (status.success(), std::env::var_os(OUTPUT_FILE)) {
            let library = out.join(format!("lib{CELL}.so"));
            std::fs::write(file, library.to_string_lossy().as_bytes())?;
        }
        Ok(exit_code(status))
    }
}

/// Has the next cells compiled at this level; without one, at the level of the manifest.
pub fn set_opt_level(folder: &Path, level: Option<&str>) -> Result<()> {
    let file = folder.join(OPT_LEVEL);
    let done = match level {
        Some(level) => std::fs::write(&file, level),
        None if file.exists() => std::fs::remove_file(&file),
        None => Ok(()),
    };
    done.with_context(|| format!("cannot write {}", file.display()))
}

/// The level that the cell asked for, or else that of the manifest, where `:opt` alone in a cell puts it.
fn opt_level(folder: &Path) -> Option<String> {
    if let Ok(level) = std::fs::read_to_string(folder.join(OPT_LEVEL)) {
        return Some(level);
    }
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let level =
        manifest.lines().find_map(|line| line.trim().strip_prefix("opt-level ="))?.trim().trim_matches('"').to_owned();
    Some(level)
}

/// Has the real cargo compile the cell and keeps how it did.
pub fn compile_and_record(around: &Surroundings, arguments: &[OsString], command: &str) -> Result<ExitCode> {
    let record = path(around);
    std::fs::create_dir_all(around.state.recipes())?;
    let target = around.state.target();
    let plain = make_plain_crate(around)?;
    // A cell that is compiled already does not show how; the second time it is newer than its result.
    for _ in 0..2 {
        let _ = std::fs::remove_file(&record);
        let status = real_cargo(around, arguments)
            .current_dir(&plain)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_BUILD_BUILD_DIR", &target)
            .env("RUSTC", around.stand_ins().join("rustc"))
            .env(RECORD, &record)
            .envs(Surroundings::variables())
            .status()
            .with_context(|| format!("cannot run {}", around.cargo.display()))?;
        if let Some(recipe) = Recipe::find(around)? {
            // The recipe's own compilation tells of errors in the cell, which also uses the helper crate.
            return recipe.compile(around, command);
        }
        if !status.success() {
            return Ok(exit_code(status));
        }
        let source = std::fs::File::options().append(true).open(around.folder.join("src/lib.rs"))?;
        source.set_modified(SystemTime::now())?;
    }
    anyhow::bail!("cargo did not show how it compiles a cell")
}

/// The cell's crate without the helper crate and without the cell's code, which would need it.
fn make_plain_crate(around: &Surroundings) -> Result<PathBuf> {
    let plain = around.folder.join("plain");
    std::fs::create_dir_all(plain.join("src"))?;
    std::fs::write(plain.join("src/lib.rs"), "")?;
    let manifest = std::fs::read_to_string(around.folder.join("Cargo.toml"))?;
    let lines: Vec<&str> = manifest.lines().filter(|line| helper(around, line).is_none()).collect();
    std::fs::write(plain.join("Cargo.toml"), lines.join("\n"))?;
    let lock = around.state.workspace().join("Cargo.lock");
    if lock.exists() {
        std::fs::copy(lock, plain.join("Cargo.lock"))?;
    }
    Ok(plain)
}

/// The workspace's lock file holds for cells, too: the same versions, which are compiled already.
pub fn seed_lock_file(around: &Surroundings) -> Result<()> {
    let dependencies = dependencies(&around.folder);
    let seeded_for = around.folder.join("Cargo.lock.for");
    if std::fs::read_to_string(&seeded_for).is_ok_and(|old| old == dependencies) {
        return Ok(());
    }
    let lock = around.state.workspace().join("Cargo.lock");
    if lock.exists() {
        std::fs::copy(&lock, around.folder.join("Cargo.lock"))?;
    }
    std::fs::write(seeded_for, dependencies)?;
    Ok(())
}

/// Plays rustc for the real cargo: notes the command for a cell, then becomes the real one.
pub fn record(around: &Surroundings, arguments: &[OsString]) -> Result<ExitCode> {
    let words: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let is_cell = words.windows(2).any(|pair| pair[0] == "--crate-name" && pair[1] == CELL);
    if let (true, Some(file)) = (is_cell, std::env::var_os(RECORD)) {
        let mut words = words;
        for name in dependencies(&around.folder).lines().filter_map(|line| helper(around, line)) {
            let library = around.state.library(&target(&words), name);
            words.extend(["--extern".into(), format!("{name}={}", library.display())]);
        }
        let plain = around.folder.join("plain").to_string_lossy().into_owned();
        let lasting_variable = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        let recipe = Recipe {
            libraries: libraries(&words),
            arguments: lasting(words),
            variables: std::env::vars()
                .filter(|(name, _)| lasting_variable(name))
                .map(|(name, value)| (name, value.replace(&plain, FOLDER)))
                .collect(),
        };
        write_atomically(Path::new(&file), &serde_json::to_vec_pretty(&recipe)?)?;
    }
    let mut command = Command::new(&around.rustc);
    crate::environment::restore(&mut command);
    Err(command.args(arguments).exec()).with_context(|| format!("cannot run {}", around.rustc.display()))
}

/// The platform that a command line compiles for.
fn target(words: &[String]) -> String {
    let value = words.iter().skip_while(|word| *word != "--target").nth(1);
    value.cloned().unwrap_or_default()
}

/// The command line without what is this one compilation's own.
fn lasting(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let own =
            |value: &str| ["incremental=", "extra-filename=", "opt-level="].iter().any(|name| value.starts_with(name));
        match word.as_str() {
            "--out-dir" => drop(words.next()),
            "-C" if words.peek().is_some_and(|value| own(value)) => drop(words.next()),
            _ if word.starts_with("--emit=") || word.starts_with("--diagnostic-width") => {}
            _ if word.strip_prefix("-C").is_some_and(own) => {}
            _ => kept.push(word),
        }
    }
    kept
}

fn libraries(words: &[String]) -> BTreeMap<PathBuf, SystemTime> {
    words
        .windows(2)
        .filter(|pair| pair[0] == "--extern")
        .filter_map(|pair| Some(PathBuf::from(pair[1].split_once('=')?.1)))
        .filter_map(|path| Some((path.clone(), changed(&path)?)))
        .collect()
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_compilation_is_left_out() {
        let words = "--crate-name ctx src/lib.rs --emit=dep-info,link -C opt-level=1 -Cincremental=/x -C metadata=ab \
                     --out-dir /t/deps -C extra-filename=-ab --extern onramp=/t/libonramp.so";
        let kept = lasting(words.split_whitespace().map(String::from).collect());
        assert_eq!(kept.join(" "), "--crate-name ctx src/lib.rs -C metadata=ab --extern onramp=/t/libonramp.so");
    }

    #[test]
    fn dependencies_do_not_depend_on_the_opt_level_or_the_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("Cargo.toml"), text).unwrap();
        write("[profile.dev]\nopt-level = 1\n[dependencies]\nb = \"1\"\na = \"2\"\n");
        let first = dependencies(folder.path());
        assert_eq!(opt_level(folder.path()).as_deref(), Some("1"));
        set_opt_level(folder.path(), Some("3")).unwrap();
        assert_eq!(opt_level(folder.path()).as_deref(), Some("3"));
        set_opt_level(folder.path(), None).unwrap();
        assert_eq!(opt_level(folder.path()).as_deref(), Some("1"));
        write("[profile.dev]\nopt-level = 3\n[dependencies]\na = \"2\"\n\nb = \"1\"\n");
        assert_eq!(first, dependencies(folder.path()));
    }
}
