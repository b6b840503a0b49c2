//! Whether the helper library is built for NVIDIA GPUs, and the command that does it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::{cargo, clean_command};
use crate::requirement::Finding;
use crate::workspace::Workspace;

/// Puts the toolkit's variables in front of a command, which follows as its arguments.
const WITH_TOOLKIT: &str = "variables=$(bash \"$0\") && eval \"$variables\" && exec \"$@\"";

/// Whether `cargo lab setup --cuda` was the last that said something about it.
pub fn is_wanted(workspace: &Workspace) -> bool {
    marker(workspace).is_file()
}

/// From now on the helper library is built with CUDA, or without.
///
/// # Errors
/// When that cannot be noted.
pub fn want(workspace: &Workspace, cuda: bool) -> Result<()> {
    let marker = marker(workspace);
    let problem = || format!("{} cannot be changed", marker.display());
    if cuda {
        fs::create_dir_all(workspace.lab()).with_context(problem)?;
        fs::write(&marker, "the helper library is built with CUDA\n").with_context(problem)
    } else if marker.is_file() {
        fs::remove_file(&marker).with_context(problem)
    } else {
        Ok(())
    }
}

/// A cargo that builds or tests the helper crate, given the arguments that follow for that: with CUDA where it is wanted.
pub fn cargo_for_helpers(workspace: &Workspace, arguments: &[&str]) -> Command {
    let plain = cargo(workspace);
    if !is_wanted(workspace) {
        let mut command = plain;
        command.args(arguments);
        return command;
    }
    let mut command = clean_command("bash");
    command.current_dir(workspace.root()).env_remove("CI");
    command.args(["-c", WITH_TOOLKIT]).arg(workspace.source("kernel-ext/lab/cuda-toolkit.sh"));
    command.arg(plain.get_program()).args(arguments).args(["--features", "cuda"]);
    command
}

/// The NVIDIA GPUs of this machine, as the driver names them.
fn gpus() -> Vec<String> {
    let answer = clean_command("nvidia-smi")
        .args(["--query-gpu=name", "--format=csv,noheader"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let text = answer.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// What `cargo lab doctor` says about GPUs.
pub fn finding(workspace: &Workspace) -> Finding {
    finding_for(&gpus(), is_wanted(workspace))
}

/// A line for whoever has a GPU that the experiments would not use.
pub fn offer(workspace: &Workspace) -> Option<String> {
    let gpus = gpus();
    (!gpus.is_empty() && !is_wanted(workspace)).then(|| {
        format!("This machine has a GPU ({}). `cargo lab setup --cuda` builds the experiments for it.", gpus.join(", "))
    })
}

fn finding_for(gpus: &[String], wanted: bool) -> Finding {
    let need = "NVIDIA GPU (optional)";
    match (gpus, wanted) {
        ([], false) => Finding::fine(need, "none; experiments run on the CPU"),
        ([], true) => Finding::note(
            need,
            "none answers, but the experiments are built with CUDA",
            "they run on the CPU only where the driver's library (libcuda.so.1) is installed; without it use \
             `cargo lab setup --no-cuda`",
        ),
        (gpus, true) => Finding::fine(need, format!("{}, used by the experiments", gpus.join(", "))),
        (gpus, false) => Finding::note(need, gpus.join(", "), "`cargo lab setup --cuda` builds the experiments for it"),
    }
}

fn marker(workspace: &Workspace) -> PathBuf {
    workspace.lab().join("with-cuda")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::requirement::State;

    #[test]
    fn the_choice_is_remembered_and_changes_the_command() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let workspace = Workspace::at(root.path());
        let arguments = || -> Vec<String> {
            let command = cargo_for_helpers(&workspace, &["build", "--package", "onramp"]);
            command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(arguments(), ["build", "--package", "onramp"]);
        want(&workspace, true).expect("a marker");
        assert!(is_wanted(&workspace));
        assert_eq!(arguments()[3..], ["cargo", "build", "--package", "onramp", "--features", "cuda"]);
        want(&workspace, false).expect("no marker");
        want(&workspace, false).expect("still no marker");
        assert!(!is_wanted(&workspace));
    }

    #[test]
    fn a_command_with_the_toolkit_sees_its_variables_and_fails_with_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = |script: &str| {
            let path: &Path = &folder.path().join("toolkit.sh");
            fs::write(path, script).expect("a script");
            let mut command = Command::new("bash");
            command.args(["-c", WITH_TOOLKIT]).arg(path).args(["sh", "-c", "echo $CUDA_HOME"]);
            command.stderr(Stdio::null()).output().expect("bash answers")
        };
        assert_eq!(run("echo export CUDA_HOME=/here").stdout, b"/here\n");
        assert!(!run("echo export CUDA_HOME=/here; exit 3").status.success());
    }

    #[test]
    fn a_gpu_that_is_not_used_is_offered() {
        let gpu = ["NVIDIA H200".to_owned()];
        let State::Note(note) = finding_for(&gpu, false).state else { panic!("no note") };
        assert!(note.contains("cargo lab setup --cuda"));
        assert_eq!(finding_for(&gpu, true).state, State::Fine);
        assert_eq!(finding_for(&[], false).state, State::Fine);
        assert!(matches!(finding_for(&[], true).state, State::Note(_)));
    }
}
