//! Other programs that a benchmark asks: `onramp-worker`, and a Python with a peer in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::process::{Log, clean_command, end_with_this_process, run_by_line};
use crate::progress::Progress;
use crate::python::Python;
use crate::stamp::write_atomically;
use crate::workspace::Workspace;

/// What `onramp-worker` answers to an experiment.
///
/// # Errors
/// When it fails, or answers something else.
pub fn experiment<T: DeserializeOwned>(workspace: &Workspace, name: &str, description: Value) -> Result<T> {
    let mut answer: Value = answer(clean_command(workspace.worker_program()), &json!({ name: description }))?;
    serde_json::from_value(answer[name].take())
        .with_context(|| format!("the answer to {name} is not what was expected"))
}

/// Gives a program JSON and reads JSON from it.
///
/// # Errors
/// When it fails, or prints something else.
pub fn answer<T: DeserializeOwned>(mut command: Command, question: &Value) -> Result<T> {
    end_with_this_process(&mut command);
    let program = Path::new(command.get_program()).display().to_string();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{program} cannot be started"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(question.to_string().as_bytes()).with_context(|| format!("{program} does not read"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("waiting for {program} failed"))?;
    if !output.status.success() {
        bail!("the benchmark failed ({program}: {}); its message is above", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{program} printed something else than its result"))
}

/// The Python of an environment with a peer in it, made on demand: no learner needs it. The packages are those of
/// `tests/bench/NAME-requirements.txt`.
///
/// # Errors
/// When there is no Python, or the packages can't be installed.
pub fn environment(workspace: &Workspace, name: &str, title: &str) -> Result<PathBuf> {
    let folder = workspace.lab().join(name);
    let (python, stamp) = (folder.join("bin/python"), folder.join("installed"));
    let requirements = workspace.source(&format!("tests/bench/{name}-requirements.txt"));
    let wanted = std::fs::read(&requirements).with_context(|| format!("{} is missing", requirements.display()))?;
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let base = Python::find().filter(Python::suffices).context("no Python was found: run `cargo lab doctor`")?;
    let mut log = Log::create(&workspace.lab().join(format!("logs/{name}.log")))?;
    let mut progress = Progress::new(title);
    let mut make = clean_command(&base.program);
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut install = clean_command(&python);
    install.args(["-m", "pip", "install", "--progress-bar", "off", "--no-input", "--requirement"]).arg(&requirements);
    for command in [&mut make, &mut install] {
        let status = run_by_line(command, |_, line| {
            log.line(line);
            progress.working_on(line);
        })?;
        if !status.success() {
            return Err(log.failure(&format!("Installing {name}"), status));
        }
    }
    write_atomically(&stamp, &wanted)?;
    progress.finish();
    Ok(python)
}
