//! Stand-ins for cargo, rustc and rustup.
//!
//! evcxr asks cargo to compile each cell, and rust-analyzer asks it for the whole dependency graph. Most of what
//! they ask has the same answer every time: cargo decides in 0.3 s that nothing changed, and hands out the
//! metadata of 400 crates of which types that a cell can name need a few. The stand-ins answer from recordings
//! and run the compiler directly; whatever was never asked before goes to the real cargo and is recorded.

mod answers;
pub mod cell_source;
pub mod metadata;
pub mod recipe;

use crate::environment::{self, Surroundings};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Where the stand-in for cargo writes its process id while it compiles, so that it can be stopped.
pub const COMPILER_PID: &str = "compiler.pid";

/// The program that is stood in for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tool {
    /// cargo
    Cargo,
    /// rustc, as the real cargo calls it: to record how a cell is compiled.
    Rustc,
    /// rustup, which evcxr asks where cargo and rustc are.
    Rustup,
}

impl Tool {
    /// By the name under which this program was called.
    pub fn from_program_name() -> Option<Self> {
        let name = std::env::args_os().next()?;
        match std::path::Path::new(&name).file_name()?.to_str()? {
            "cargo" => Some(Self::Cargo),
            "rustc" => Some(Self::Rustc),
            "rustup" => Some(Self::Rustup),
            _ => None,
        }
    }
}

/// Answers as `tool` would.
pub fn run(tool: Tool) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let answer = Surroundings::from_environment().and_then(|around| match tool {
        Tool::Cargo => cargo(&around, arguments),
        Tool::Rustc => recipe::record(&around, &arguments),
        Tool::Rustup => rustup(&around, arguments),
    });
    answer.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn cargo(around: &Surroundings, arguments: Vec<OsString>) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().filter_map(|a| a.to_str()).collect();
    let in_cell_crate = std::env::current_dir()? == around.folder;
    match words.iter().find(|w| !w.starts_with('-') && !w.starts_with('+')) {
        Some(&command @ ("build" | "check")) if in_cell_crate => {
            let pid = around.folder.join(COMPILER_PID);
            // A group of its own, so that the compiler can be stopped with everything that it started.
            // SAFETY: a plain system call.
            unsafe { libc::setpgid(0, 0) };
            std::fs::write(&pid, std::process::id().to_string())?;
            cell_source::rewrite(&around.folder, around.state.cell_runtime().exists())?;
            let code = match recipe::Recipe::find(around)? {
                Some(recipe) => recipe.compile(around, command),
                None => recipe::compile_and_record(around, &arguments, command),
            };
            let _ = std::fs::remove_file(pid);
            code
        }
        _ => answers::answer(around, &arguments),
    }
}

fn rustup(around: &Surroundings, arguments: Vec<OsString>) -> Result<ExitCode> {
    let path = match arguments.iter().map(|a| a.to_str()).collect::<Vec<_>>()[..] {
        [Some("which"), Some("cargo")] => around.stand_ins().join("cargo"),
        [Some("which"), Some("rustc")] => around.rustc.clone(),
        _ => {
            let mut command = Command::new("rustup");
            environment::restore(&mut command);
            return Err(command.args(arguments).exec()).context("cannot run rustup");
        }
    };
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// The real cargo, in the learner's environment, for the crate in this folder.
fn real_cargo(around: &Surroundings, arguments: &[OsString]) -> Command {
    let mut command = Command::new(&around.cargo);
    environment::restore(&mut command);
    command.args(arguments).env("RUSTC", &around.rustc);
    command
}

/// How a finished process ended, for a process that ends likewise.
fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8))
}
