//! Runs one serialised experiment in this fresh process, or a service, or the benchmark of a GPU.
//!
//! The experiment is read as JSON from the file in the first argument, or from standard input; the result is
//! written as JSON to standard output. What goes wrong is said on standard error, with exit code 2.

mod gpu_benchmark;
mod serving_benchmark;

use std::io::{Read, Write};
use std::process::ExitCode;

use onramp::Error;
use onramp::experiment::Experiment;
use onramp::serving::Service;

const HELP: &str = "\
onramp-worker                     runs the experiment that stands as JSON on standard input
onramp-worker FILE                the same with the experiment in this file
onramp-worker --service           is the service whose description stands as JSON in the first line of standard input
onramp-worker --gpu-benchmark     measures this machine's GPU and prints tables
    --cpu                         a small benchmark of the processor instead, to try the program
    --samples N                   how often each time is taken (7)
    --json FILE                   also writes everything that was measured to this file
onramp-worker --serving-benchmark measures servers under load on this machine and prints rows as JSON
    --soak SECONDS                how long the long load lasts (600)
    --peer PYTHON PROGRAM         also measures the same model behind FastAPI
";

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
    let mut arguments = std::env::args_os().skip(1);
    let text = match arguments.next() {
        Some(flag) if flag == "--help" => {
            print!("{HELP}");
            return Ok(());
        }
        Some(flag) if flag == Service::FLAG => return Service::serve_as_ordered(),
        Some(flag) if flag == "--gpu-benchmark" => {
            let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
            return gpu_benchmark::Benchmark::from_arguments(arguments)?.run();
        }
        Some(flag) if flag == "--serving-benchmark" => {
            let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
            return serving_benchmark::Benchmark::from_arguments(arguments)?.run();
        }
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
