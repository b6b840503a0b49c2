//! `cargo lab test`: everything that proves the project, in the order in which a failure is cheapest to find.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo_build;
use crate::cuda;
use crate::process::{Stream, cargo, clean_command, run_by_line};
use crate::python::venv_command;
use crate::setup;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// One group of tests.
struct Suite {
    /// How it is asked for by name.
    name: &'static str,
    /// The heading above its output.
    heading: &'static str,
    /// Whether it needs the kernel and the virtual environment.
    needs_setup: bool,
    /// Runs it.
    run: fn(&Workspace) -> Result<Outcome>,
}

/// What a suite came to.
#[derive(Debug, Default)]
struct Outcome {
    tally: Tally,
    /// What was not run, and why.
    skipped: Vec<String>,
}

const SUITES: [Suite; 7] = [
    Suite { name: "format", heading: "formatting", needs_setup: false, run: format },
    Suite {
        name: "lab",
        heading: "the lab command",
        needs_setup: false,
        run: |w| cargo_test(&["--package", "onramp-lab"], |arguments| cargo_build::plain(w, arguments)),
    },
    Suite {
        name: "helpers",
        heading: "the helper crate",
        needs_setup: true,
        run: |w| {
            let programs = ["--package", "onramp", "--lib", "--test", "main", "--test", "clock"];
            cargo_test(&programs, |arguments| cuda::cargo_for_helpers(w, arguments))
        },
    },
    Suite {
        name: "kernel",
        heading: "the kernel's own tests",
        needs_setup: true,
        run: |w| cargo_test(&["--package", "onramp-kernel"], |arguments| cargo_build::plain(w, arguments)),
    },
    Suite { name: "sync", heading: "notebooks against their sources", needs_setup: true, run: sync },
    Suite { name: "broken", heading: "a broken notebook must be caught", needs_setup: true, run: broken_notebook },
    Suite { name: "jupyter", heading: "through a real Jupyter and a real browser", needs_setup: true, run: pytest },
];

/// Runs the named suites, or all, and prints the sum as the last line.
///
/// # Errors
/// When a name is unknown, a test fails, or no test ran.
pub fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    let suites = chosen(names)?;
    let mut sum = Tally::default();
    let mut skipped = Vec::new();
    let mut ready = false;
    for suite in suites {
        println!("\n=== {}: {}", suite.name, suite.heading);
        if suite.needs_setup && !ready {
            setup::run(workspace)?;
            ready = true;
        }
        match (suite.run)(workspace) {
            Ok(outcome) => {
                sum += outcome.tally;
                skipped.extend(outcome.skipped);
            }
            Err(error) => {
                println!("{error:#}");
                sum += Tally::FAILED;
            }
        }
    }
    println!();
    for reason in &skipped {
        println!("skipped: {reason}");
    }
    println!("{sum}");
    if sum.is_success() {
        Ok(())
    } else if sum.failed == 0 {
        bail!("no test ran")
    } else {
        bail!("{} failed", sum.failed)
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Suite>> {
    for name in names {
        if !SUITES.iter().any(|suite| suite.name == name) {
            let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            bail!("there is no suite {name:?}; the suites are: {}", known.join(", "));
        }
    }
    Ok(SUITES.iter().filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name)).collect())
}

/// In CI nothing is skipped: a missing program is a failure there.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    if !clean_command("rustfmt").arg("--version").output().is_ok_and(|output| output.status.success()) {
        let reason = "formatting: rustfmt is not installed (rustup component add rustfmt)";
        if in_ci() {
            bail!("{reason}");
        }
        return Ok(Outcome { tally: Tally::SKIPPED, skipped: vec![reason.to_owned()] });
    }
    let mut command = cargo(workspace);
    let (tally, success) = watch(command.args(["fmt", "--all", "--check"]))?;
    debug_assert_eq!(tally, Tally::default());
    if !success {
        bail!("the formatting differs: run `cargo fmt`");
    }
    println!("every file is formatted");
    Ok(Outcome { tally: Tally::PASSED, ..Outcome::default() })
}

fn cargo_test(arguments: &[&str], cargo: impl Fn(&[&str]) -> Command) -> Result<Outcome> {
    let mut command = cargo(&[&["test", "--locked", "--no-fail-fast"], arguments].concat());
    let (mut tally, success) = watch(&mut command)?;
    if !success && tally.failed == 0 {
        // The tests did not compile, or a test program crashed: no closing line speaks of that.
        tally.failed = 1;
    }
    let skipped =
        (tally.skipped > 0).then(|| format!("{} tests marked #[ignore] in {}", tally.skipped, arguments.join(" ")));
    Ok(Outcome { tally, skipped: skipped.into_iter().collect() })
}

fn sync(workspace: &Workspace) -> Result<Outcome> {
    crate::sync::run(workspace, true)?;
    Ok(Outcome { tally: Tally::PASSED, ..Outcome::default() })
}

/// The proof that a failing cell fails the run: without it, a kernel that answers "ok" to everything would pass.
fn broken_notebook(workspace: &Workspace) -> Result<Outcome> {
    let folder = workspace.lab().join("executed");
    let mut command = venv_command(workspace, "jupyter");
    command.args(["nbconvert", "--to", "notebook", "--execute", "--output-dir"]).arg(&folder);
    let output = command.arg(workspace.source("tests/broken.ipynb")).output().context("nbconvert cannot be started")?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        bail!("nbconvert reports success for tests/broken.ipynb, in which an assertion fails");
    }
    // A terminal's colours stand between the name and its message.
    if !text.contains("Panic") || !text.contains(": assertion `left == right` failed") {
        bail!("nbconvert failed on tests/broken.ipynb, but not because of the panic in it:\n{text}");
    }
    println!("nbconvert reports the failing assertion ({})", output.status);
    Ok(Outcome { tally: Tally::PASSED, ..Outcome::default() })
}

fn pytest(workspace: &Workspace) -> Result<Outcome> {
    let mut command = venv_command(workspace, "python");
    command.current_dir(workspace.root()).env("PYTHONUNBUFFERED", "1");
    command.args(["-m", "pytest", "-p", "no:cacheprovider", "-rs", "--verbose", "tests"]);
    let mut skipped = Vec::new();
    let (mut tally, success) = watch_lines(&mut command, |line| {
        if let Some(reason) = line.strip_prefix("SKIPPED ") {
            skipped.push(reason.to_owned());
        }
    })?;
    if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(Outcome { tally, skipped })
}

fn watch(command: &mut Command) -> Result<(Tally, bool)> {
    watch_lines(command, |_| {})
}

/// Runs a test program, prints what it prints, and adds up its closing lines.
fn watch_lines(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<(Tally, bool)> {
    let mut tally = Tally::default();
    let status = run_by_line(command, |stream, line| {
        match stream {
            Stream::Output => println!("{line}"),
            Stream::Error => eprintln!("{line}"),
        }
        if stream == Stream::Output {
            on_line(line);
            if let Some(part) = Tally::of_line(line) {
                tally += part;
            }
        }
    })?;
    Ok((tally, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_suite_is_named_with_those_that_exist() {
        let error = chosen(&["kernal".to_owned()]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("\"kernal\"") && error.contains("kernel") && error.contains("jupyter"), "{error}");
        assert_eq!(chosen(&[]).map(|suites| suites.len()).ok(), Some(SUITES.len()));
        assert_eq!(chosen(&["sync".to_owned()]).map(|suites| suites.len()).ok(), Some(1));
    }

    #[test]
    fn closing_lines_of_a_test_program_are_added_up() {
        let mut command = Command::new("sh");
        let lines = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        command.args(["-c", &format!("echo '{lines}'; echo '== 2 failed, 1 passed in 0.5s =='; exit 1")]);
        let (tally, success) = watch(&mut command).expect("sh runs");
        assert_eq!((tally, success), (Tally { passed: 4, failed: 2, skipped: 1 }, false));
    }
}
