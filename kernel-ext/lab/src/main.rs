//! `cargo lab`: sets Onramp up, opens it, tests it, benchmarks it.
//!
//! Has few and light dependencies, so that it can say what a machine lacks before anything heavy compiles.

mod bench;
mod cargo_build;
mod cuda;
mod doctor;
mod export;
mod headless;
mod jupyter;
mod kernelspec;
mod lock;
mod process;
mod progress;
mod python;
mod requirement;
mod setup;
mod stamp;
mod step_times;
mod sync;
mod tally;
mod test;
mod version;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Sets Onramp up and opens JupyterLab on the first lesson; each command below does one part.
#[derive(Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Does everything but opening JupyterLab; skips what is up to date
    Setup {
        /// Builds the experiments for NVIDIA GPUs, now and from now on
        #[arg(long, conflicts_with = "no_cuda")]
        cuda: bool,
        /// Builds them for the CPU alone again
        #[arg(long)]
        no_cuda: bool,
    },
    /// Checks what this machine needs and names the fix for what is missing
    Doctor,
    /// Executes notebooks without a browser; fails when a cell fails
    Run {
        /// Notebooks: paths, or names of lessons
        #[arg(required = true)]
        notebooks: Vec<PathBuf>,
        /// Seconds that one cell may take
        #[arg(long, default_value_t = 600)]
        timeout: u64,
    },
    /// Runs every test, or the named suites
    Test {
        /// Names of suites: format, lab, helpers, kernel, sync, broken, jupyter
        suites: Vec<String>,
    },
    /// Measures, beside the stock kernel where there is one
    Bench {
        /// Names of benchmarks; none means all that do not need --cold
        names: Vec<String>,
        /// Also writes the rows to this file
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Measures cold starts in a fresh copy with empty caches, instead of reporting the last recorded one
        #[arg(long)]
        cold: bool,
    },
    /// Writes the lessons' notebooks from their text sources
    Sync {
        /// Changes nothing; fails when a notebook is not current
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo lab: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("{cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Option<Task>) -> anyhow::Result<()> {
    let workspace = Workspace::discover()?;
    match task {
        None => {
            setup::run(&workspace)?;
            jupyter::open(&workspace)
        }
        Some(Task::Setup { cuda, no_cuda }) => {
            if cuda || no_cuda {
                cuda::want(&workspace, cuda)?;
            }
            setup::run_and_tell(&workspace)
        }
        Some(Task::Doctor) => doctor::examine(&workspace),
        Some(Task::Run { notebooks, timeout }) => {
            let notebooks = headless::find_all(&workspace, &notebooks)?;
            setup::run(&workspace)?;
            headless::run(&workspace, &notebooks, Duration::from_secs(timeout))
        }
        Some(Task::Test { suites }) => test::run(&workspace, &suites),
        Some(Task::Bench { names, json, cold }) => bench::run(&workspace, &names, json.as_deref(), cold),
        Some(Task::Sync { check }) => {
            setup::run(&workspace)?;
            sync::run(&workspace, check)
        }
    }
}
