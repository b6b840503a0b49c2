//! Runs one serialised experiment in this fresh process.
//!
//! The experiment is read as JSON from the file in the first argument, or from standard input; the result is
//! written as JSON to standard output. What goes wrong is said on standard error, with exit code 2.

use std::io::{Read, Write};
use std::process::ExitCode;

use onramp::Error;
use onramp::experiment::Experiment;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Error> {
    let text = match std::env::args_os().nth(1) {
        Some(file) => std::fs::read_to_string(&file)
            .map_err(|cause| Error::io(format!("reading the experiment {}", file.to_string_lossy()), cause))?,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|cause| Error::io("reading the experiment from standard input", cause))?;
            text
        }
    };
    let outcome = Experiment::from_json(&text)?.run()?;
    let mut line = outcome.to_json()?;
    line.push('\n');
    std::io::stdout().write_all(line.as_bytes()).map_err(|cause| Error::io("writing the result", cause))
}
