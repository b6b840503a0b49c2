//! Builds a package with cargo and shows how many crates are done.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::Result;
use serde::Deserialize;

use crate::process::{Log, Stream, cargo, run_by_line};
use crate::progress::Progress;
use crate::workspace::Workspace;

/// What a build did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Built {
    /// Crates and build scripts that were compiled now.
    pub compiled: u64,
    /// Crates and build scripts that were there already.
    pub fresh: u64,
}

/// The part of cargo's JSON messages that is read.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    fresh: bool,
}

/// A cargo with these arguments and nothing else.
pub fn plain(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = cargo(workspace);
    command.args(arguments);
    command
}

/// Runs `cargo build` for one package with the given extra arguments, by the command that `cargo` makes of them.
///
/// # Errors
/// When the build fails; the message holds the compiler's first errors.
pub fn build(
    workspace: &Workspace,
    package: &str,
    extra: &[&str],
    cargo: impl Fn(&[&str]) -> Command,
    progress: &mut Progress,
) -> Result<Built> {
    let mut log = Log::create(&workspace.lab().join(format!("logs/{package}.log")))?;
    progress.working_on("counting crates");
    progress.set_total(package_count(workspace, package));

    let arguments = ["build", "--locked", "--message-format=json-render-diagnostics", "--package", package];
    let mut command = cargo(&[&arguments, extra].concat());

    let mut built = Built::default();
    let mut packages = BTreeSet::new();
    let status = run_by_line(&mut command, |stream, line| match stream {
        Stream::Output => {
            let Ok(message) = serde_json::from_str::<Message>(line) else {
                return;
            };
            if message.reason == "compiler-artifact" {
                *(if message.fresh { &mut built.fresh } else { &mut built.compiled }) += 1;
                packages.insert(message.package_id);
                progress.set_done(packages.len() as u64);
            }
        }
        Stream::Error => {
            log.line(line);
            match activity(line) {
                Activity::WorkingOn(what) => progress.working_on(what),
                Activity::Waiting => progress.note("another cargo is building in this folder; waiting for it"),
                Activity::Other => {}
            }
        }
    })?;
    if !status.success() {
        return Err(log.failure(&format!("Building {package}"), status));
    }
    Ok(built)
}

/// Downloads every crate of the lock file that this machine needs.
///
/// # Errors
/// When a registry cannot be reached or the lock file does not fit the manifests.
pub fn fetch(workspace: &Workspace, progress: &mut Progress) -> Result<()> {
    watch(
        workspace,
        "Downloading the Rust crates",
        "downloads",
        "Downloaded",
        cargo(workspace).args(["fetch", "--locked", "--target", "host-tuple"]),
        progress,
    )
}

/// Runs a cargo whose steps are the lines that begin with `verb`, and keeps what it says in a log of this name.
///
/// # Errors
/// When cargo cannot be started or fails; the message begins with `task` and holds the end of the log.
pub fn watch(
    workspace: &Workspace,
    task: &str,
    log: &str,
    verb: &str,
    command: &mut Command,
    progress: &mut Progress,
) -> Result<()> {
    let mut log = Log::create(&workspace.lab().join(format!("logs/{log}.log")))?;
    let mut done = 0;
    let status = run_by_line(command, |_, line| {
        log.line(line);
        if let Some(name) = line.trim_start().strip_prefix(verb) {
            done += 1;
            progress.set_done(done);
            progress.working_on(name.trim_start());
        }
    })?;
    if status.success() { Ok(()) } else { Err(log.failure(task, status)) }
}

/// What a line of cargo's says about its work.
#[derive(Debug, PartialEq, Eq)]
enum Activity<'a> {
    /// A crate is being compiled or downloaded.
    WorkingOn(&'a str),
    /// Another cargo holds the target folder.
    Waiting,
    /// Anything else.
    Other,
}

fn activity(line: &str) -> Activity<'_> {
    let line = line.trim_start();
    if line.starts_with("Blocking waiting for file lock") {
        return Activity::Waiting;
    }
    match line.split_once(' ') {
        Some(("Compiling" | "Downloaded", what)) => Activity::WorkingOn(what.split(" (").next().unwrap_or(what)),
        _ => Activity::Other,
    }
}

/// How many packages a build of `package` takes; zero when cargo cannot say, which only costs the bar its length.
fn package_count(workspace: &Workspace, package: &str) -> u64 {
    let mut command = cargo(workspace);
    command.stdin(Stdio::null());
    command.args([
        "tree",
        "--locked",
        "--prefix",
        "none",
        "--edges",
        "normal,build",
        "--format",
        "{p}",
        "--package",
        package,
    ]);
    let text = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    count_packages(&text)
}

fn count_packages(tree: &str) -> u64 {
    let names = tree.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end_matches(" (*)"));
    names.collect::<BTreeSet<_>>().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_of_a_tree_counts_once() {
        assert_eq!(count_packages("onramp v0.1.0 (/x)\nserde v1.0.0\nserde v1.0.0 (*)\nrand v0.9.0\n"), 3);
        assert_eq!(count_packages(""), 0);
    }

    #[test]
    fn lines_of_cargo_are_understood() {
        assert_eq!(activity("   Compiling polars-core v0.55.2"), Activity::WorkingOn("polars-core v0.55.2"));
        assert_eq!(activity("   Compiling onramp v0.1.0 (/x/helpers)"), Activity::WorkingOn("onramp v0.1.0"));
        assert_eq!(activity("    Blocking waiting for file lock on build directory"), Activity::Waiting);
        assert_eq!(activity("warning: unused variable"), Activity::Other);
    }
}
