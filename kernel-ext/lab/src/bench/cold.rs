//! Times a whole set-up and a whole CI run: the last recorded one, or one in a fresh copy with empty caches.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::report::Row;
use crate::process::clean_command;
use crate::step_times::{StepTime, StepTimes};
use crate::workspace::Workspace;

/// Where `.ci/run` leaves the seconds that it took.
const CI_RECORD: &str = "ci-seconds";

/// The steps of a set-up.
///
/// # Errors
/// When nothing is recorded, or a cold set-up fails.
pub fn setup(workspace: &Workspace, cold: bool) -> Result<Vec<Row>> {
    if !cold {
        let times = StepTimes::at(workspace).read();
        anyhow::ensure!(!times.is_empty(), "no set-up is recorded yet: run `cargo lab setup`, or give --cold");
        return Ok(step_rows("setup, as last recorded", &times));
    }
    let copy = Copy::of(workspace)?;
    let started = Instant::now();
    copy.perform(clean_command("cargo").args(["lab", "setup"]))?;
    let seconds = started.elapsed().as_secs_f64();
    let mut rows = step_rows("setup, cold", &StepTimes::at(&copy.workspace()).read());
    rows.push(Row::plain("setup, cold", "whole command", seconds / 60.0, "min"));
    Ok(rows)
}

/// One run of `.ci/run`.
///
/// # Errors
/// When nothing is recorded, or a cold run fails.
pub fn ci(workspace: &Workspace, cold: bool) -> Result<Vec<Row>> {
    if cold {
        let copy = Copy::of(workspace)?;
        let started = Instant::now();
        copy.perform(clean_command("bash").arg(".ci/run"))?;
        return Ok(vec![Row::plain("ci, cold", "whole run", started.elapsed().as_secs_f64() / 60.0, "min")]);
    }
    let text = fs::read_to_string(workspace.lab().join(CI_RECORD)).unwrap_or_default();
    let Ok(seconds) = text.trim().parse::<f64>() else {
        bail!("no CI run is recorded yet: run `bash .ci/run`, or give --cold");
    };
    Ok(vec![Row::plain("ci, as last recorded", "whole run", seconds / 60.0, "min")])
}

fn step_rows(case: &str, times: &BTreeMap<String, StepTime>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (step, time) in times {
        rows.push(Row::plain(case, step, time.seconds, "s"));
        if let Some(compiled) = time.compiled {
            rows.push(Row::plain(case, &format!("{step}: compiled"), compiled as f64, "crates"));
        }
    }
    let minutes = times.values().map(|time| time.seconds).sum::<f64>() / 60.0;
    rows.push(Row::plain(case, "all steps", minutes, "min"));
    rows
}

/// A copy of the checkout without anything built, and an empty folder for cargo's and pip's caches.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn of(workspace: &Workspace) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("onramp-cold-").tempdir().context("no temporary folder can be made")?;
        let copy = Self { folder };
        let output = Command::new("git")
            .current_dir(workspace.root())
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("git, which lists the project's files, cannot be started")?;
        anyhow::ensure!(output.status.success(), "git cannot list the files of {}", workspace.root().display());
        for name in String::from_utf8_lossy(&output.stdout).split('\0').filter(|name| !name.is_empty()) {
            let from = workspace.source(name);
            if from.is_file() {
                copy_file(&from, &copy.checkout().join(name))?;
            }
        }
        Ok(copy)
    }

    fn checkout(&self) -> std::path::PathBuf {
        self.folder.path().join("onramp")
    }

    fn workspace(&self) -> Workspace {
        Workspace::at(&self.checkout())
    }

    fn perform(&self, command: &mut Command) -> Result<()> {
        let caches = self.folder.path().join("caches");
        let cargo = caches.join("cargo");
        fs::create_dir_all(&cargo).context("the folder for caches cannot be made")?;
        // Settings such as a registry mirror are the machine's, not a cache.
        if let Some(home) =
            std::env::var_os("CARGO_HOME").or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo").into()))
        {
            let settings = Path::new(&home).join("config.toml");
            if settings.is_file() {
                copy_file(&settings, &cargo.join("config.toml"))?;
            }
        }
        command.current_dir(self.checkout()).stdin(Stdio::null());
        command.env("CARGO_HOME", &cargo).env("PIP_CACHE_DIR", caches.join("pip"));
        let status = command.status().context("the cold run cannot be started")?;
        anyhow::ensure!(status.success(), "the cold run failed ({status}); its message is above");
        Ok(())
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_rows_and_a_sum() {
        let mut times = BTreeMap::new();
        times.insert("python".to_owned(), StepTime { seconds: 30.0, compiled: None });
        times.insert("kernel".to_owned(), StepTime { seconds: 90.0, compiled: Some(12) });
        let rows = step_rows("setup", &times);
        let metrics: Vec<&str> = rows.iter().map(|row| row.metric.as_str()).collect();
        assert_eq!(metrics, ["kernel", "kernel: compiled", "python", "all steps"]);
        assert_eq!(rows[3].value, 2.0);
    }

    #[test]
    fn an_unrecorded_run_says_how_to_make_one() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let workspace = Workspace::at(root.path());
        assert!(setup(&workspace, false).expect_err("nothing is recorded").to_string().contains("cargo lab setup"));
        assert!(ci(&workspace, false).expect_err("nothing is recorded").to_string().contains(".ci/run"));
    }
}
