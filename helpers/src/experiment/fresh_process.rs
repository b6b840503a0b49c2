//! Running an experiment alone in a process of its own: `onramp-worker`.
//!
//! A notebook's process has a history: memory that was never given back, threads that still run, a debugger's
//! or kernel's hooks. A fresh process has none, and its death takes nothing with it.

use std::ffi::{CStr, OsStr};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::{Experiment, Outcome};
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// The program's name.
const PROGRAM: &str = "onramp-worker";
/// Names the program's file; set it to use another one than that beside the library.
const PROGRAM_VARIABLE: &str = "ONRAMP_WORKER";
/// What a notebook's process has in its environment and a worker must not inherit: the first would turn it
/// into a runtime of cells, the second would put display blocks between its results.
const NOT_INHERITED: [&str; 2] = ["EVCXR_IS_RUNTIME", "ONRAMP_DISPLAY"];

/// Runs the experiment in a fresh process and returns its result.
///
/// # Errors
/// [`Error::Worker`] when the program is not there, the experiment fails in it, or it is killed, with the last checkpoint
/// of a shared training;
/// [`Error::Interrupted`] when it was interrupted.
pub fn in_fresh_process(experiment: &Experiment) -> Result<Outcome> {
    let described = |action: &str| format!("{action} {PROGRAM}");
    let mut command = worker_command()?;
    // What it says on standard error is why it failed, and nothing else.
    let mut process = command
        .env("ONRAMP_PROGRESS", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|cause| Error::io(described("starting"), cause))?;
    let text = experiment.to_json()?;
    let (input, errors) = (process.stdin.take(), process.stderr.take());
    // Someone must read the errors while the result is read, or a worker that writes much would wait for ever.
    let complaints = std::thread::spawn(move || {
        let mut text = String::new();
        // What can't be read can't be shown; the exit status still says that something went wrong.
        errors.map(|mut errors| errors.read_to_string(&mut text));
        text
    });
    if let Some(mut input) = input {
        // A worker that ends before it has read everything says itself why.
        let _ = input.write_all(text.as_bytes());
    }
    let output = process.wait_with_output().map_err(|cause| Error::io(described("waiting for"), cause))?;
    let complaints = complaints.join().unwrap_or_default();
    if output.status.success() {
        return Outcome::from_json(&String::from_utf8_lossy(&output.stdout));
    }
    // The worker looks at the same flag.
    check_interrupt()?;
    let error = failure(output.status, complaints.trim());
    Err(match experiment {
        // What failed in it was told there; a process that was killed told nothing.
        Experiment::TrainShared(training) if output.status.signal().is_some() => training.with_last_checkpoint(error),
        _ => error,
    })
}

/// A command that starts the worker program.
///
/// # Errors
/// [`Error::Worker`] when the program is not there.
pub(crate) fn worker_command() -> Result<Command> {
    let mut command = Command::new(program()?);
    for variable in NOT_INHERITED {
        command.env_remove(variable);
    }
    Ok(command)
}

fn failure(status: ExitStatus, complaints: &str) -> Error {
    match (status.signal(), status.code()) {
        (Some(libc::SIGINT), _) => Error::Interrupted,
        (Some(libc::SIGKILL), _) => Error::Worker(
            "the worker process was killed (signal 9); most often the machine had no memory left: use a smaller model \
             or fewer rows"
                .to_string(),
        ),
        (Some(signal), _) => Error::Worker(format!("the worker process was ended by signal {signal}. {complaints}")),
        // The worker's own message is complete as it is.
        (None, Some(2)) => Error::Worker(complaints.to_string()),
        (None, code) => {
            Error::Worker(format!("the worker process ended with exit code {}. {complaints}", code.unwrap_or(-1)))
        }
    }
}

/// The worker program: where the environment says, or beside this library, or beside this process's own program.
fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(PROGRAM_VARIABLE) {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        return Err(Error::Worker(format!(
            "there is no worker program at {}, where {PROGRAM_VARIABLE} says it is; run `cargo lab setup`, or unset \
             the variable",
            path.display()
        )));
    }
    let starts = [library(), std::env::current_exe().ok()];
    let folders = starts.iter().flatten().flat_map(|file| file.ancestors().skip(1).take(2)).map(Path::to_path_buf);
    let candidates: Vec<PathBuf> = folders.map(|folder| folder.join(PROGRAM)).collect();
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
        Error::Worker(format!(
            "the program {PROGRAM} was not found (looked at {}); run `cargo lab setup`, which builds it",
            places.join(", ")
        ))
    })
}

/// The file that this code was loaded from: libonramp.so, wherever the process found it.
fn library() -> Option<PathBuf> {
    // SAFETY: Dl_info is a struct of pointers and numbers, for which zeros are valid.
    let mut place: libc::Dl_info = unsafe { std::mem::zeroed() };
    let own_code = library as *const () as *const libc::c_void;
    // SAFETY: dladdr only looks up an address of this library and fills in `place`.
    if unsafe { libc::dladdr(own_code, &raw mut place) } == 0 || place.dli_fname.is_null() {
        return None;
    }
    // SAFETY: on success dli_fname is a C string that lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(place.dli_fname) };
    std::fs::canonicalize(OsStr::from_bytes(name.to_bytes())).ok()
}
