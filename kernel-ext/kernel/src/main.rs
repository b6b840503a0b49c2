//! `onramp-kernel`: a Jupyter kernel for Rust on the evcxr library.
//!
//! One program plays every part, so that nothing has to be found at run time:
//!
//! | part | started by | file |
//! |---|---|---|
//! | kernel: Jupyter's messages | Jupyter | `jupyter.rs`, `session.rs`, `running.rs`, `evaluator.rs` |
//! | assistant: answers questions about code while a cell runs | the kernel | `assistant.rs` |
//! | relay: stands between evcxr and the process that runs cells | evcxr | `relay/` |
//! | runtime: loads and runs the compiled cells | the relay | `runtime.rs` |
//! | stand-ins for cargo, rustc and rustup: answer from what was recorded | evcxr, rust-analyzer | `stand_in/` |
//! | preparation: records it | `cargo lab setup` | `prepare.rs` |

mod advice;
mod assistant;
mod cell_lines;
mod cell_options;
mod environment;
mod evaluator;
mod events;
mod failure;
mod interrupt;
mod jupyter;
mod known;
mod local_deps;
mod prepare;
mod relay;
mod running;
mod runtime;
mod session;
mod source;
mod stand_in;
mod state_folder;
mod timing;
mod wire;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: onramp-kernel run --connection FILE --helpers FOLDER --state FOLDER\n       \
                     onramp-kernel prepare --helpers FOLDER --state FOLDER\n\
                     Jupyter starts the first one; `cargo lab setup` the second.";

fn main() -> ExitCode {
    if let Some(tool) = stand_in::Tool::from_program_name() {
        return stand_in::run(tool);
    }
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onramp-kernel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let mut flags = std::collections::HashMap::new();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value\n{USAGE}"))?;
        flags.insert(flag, value);
    }
    let mut path = |flag: &str| {
        let value = flags.remove(flag).with_context(|| format!("{flag} is missing\n{USAGE}"))?;
        anyhow::Ok(PathBuf::from(value))
    };
    match part.as_str() {
        "run" => jupyter::run(&path("--connection")?, &path("--helpers")?, &path("--state")?),
        "assist" => assistant::serve(&path("--helpers")?, &path("--state")?),
        "prepare" => prepare::prepare(&path("--helpers")?, &path("--state")?),
        "relay" => relay::run(&path("--socket")?),
        "runtime" => runtime::run(),
        other => bail!("unknown part `{other}`\n{USAGE}"),
    }
}
