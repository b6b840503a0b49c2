//! Times training steps in this project and in PyTorch, in turn; then what sharing the machine costs, and how near all of it
//! comes to what the machine can do.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::peer::{answer, environment, experiment};
use super::report::Row;
use crate::process::clean_command;
use crate::setup;
use crate::workspace::Workspace;

const REPEATS: usize = 7;
/// Workers that share this machine.
const WORKERS: usize = 2;
const ALL_REDUCE_BYTES: usize = 16_000_000;

/// What `tests/bench/training.py` prints.
#[derive(Deserialize)]
struct Samples {
    version: String,
    points: Vec<Point>,
}

/// Seconds of a step.
#[derive(Deserialize)]
struct Point {
    onramp: Vec<f64>,
    pytorch: Vec<f64>,
}

/// The part of a measured number that is read.
#[derive(Deserialize)]
struct Estimate {
    median: f64,
    samples: Vec<f64>,
}

/// Rows per second.
#[derive(Deserialize)]
struct SideBySide {
    alone: Estimate,
    processes: Estimate,
    threads: Estimate,
}

#[derive(Deserialize)]
struct AllReduce {
    all_reduce_seconds: Estimate,
    copy_seconds: Estimate,
}

#[derive(Deserialize)]
struct Roofline {
    roofs: Vec<Roof>,
}

#[derive(Deserialize)]
struct Roof {
    peaks: Peaks,
    placed: Vec<Placed>,
}

#[derive(Deserialize)]
struct Peaks {
    threads: usize,
    bytes_per_second: Estimate,
    flops_per_second: Estimate,
}

/// A run below the roof.
#[derive(Deserialize)]
struct Placed {
    name: String,
    intensity: f64,
    achieved: Estimate,
    attainable: Estimate,
    limit: String,
}

/// A model, and the rows of a step.
struct Task {
    name: String,
    model: Value,
    rows: usize,
}

/// Rows of the report: each step beside PyTorch, the machine shared by two workers, an all-reduce, and the roof.
///
/// # Errors
/// When PyTorch cannot be installed, or a step fails.
pub fn training(workspace: &Workspace) -> Result<Vec<Row>> {
    setup::run(workspace)?;
    let tasks = tasks();
    let mut rows = beside_pytorch(workspace, &tasks)?;
    for task in tasks.iter().filter(|task| task.model.get("mlp").is_some()) {
        rows.extend(side_by_side(workspace, task)?);
    }
    rows.push(all_reduce(workspace)?);
    rows.extend(below_the_roof(workspace, &tasks)?);
    Ok(rows)
}

fn tasks() -> Vec<Task> {
    let mlp = |width: usize, rows: usize| Task {
        name: format!("M({width}), {rows} rows"),
        model: json!({"mlp": {"width": width, "inputs": 784, "outputs": 10}}),
        rows,
    };
    let transformer = |width: usize, context: usize, rows: usize| Task {
        name: format!("T({width}) over {context} tokens, {rows} rows"),
        model: json!({"transformer": {"width": width, "depth": width / 32, "context": context, "vocabulary": 64}}),
        rows,
    };
    let mut tasks: Vec<Task> =
        [64, 256, 1024].into_iter().flat_map(|width| [64, 512].map(|rows| mlp(width, rows))).collect();
    tasks.extend([transformer(64, 32, 32), transformer(256, 64, 16)]);
    tasks
}

/// Each task on each number of threads.
fn steps(tasks: &[Task]) -> Vec<(String, Value)> {
    let threads = |task: &Task, threads: usize| {
        let name = format!("{}, {threads} thread{}", task.name, if threads == 1 { "" } else { "s" });
        (name, json!({"model": task.model, "rows": task.rows, "threads": threads, "samples": REPEATS}))
    };
    tasks.iter().flat_map(|task| (1..=WORKERS).map(|count| threads(task, count))).collect()
}

fn beside_pytorch(workspace: &Workspace, tasks: &[Task]) -> Result<Vec<Row>> {
    let python = environment(workspace, "pytorch", "PyTorch for the benchmark, once (3 GB)")?;
    let (names, steps): (Vec<String>, Vec<Value>) = steps(tasks).into_iter().unzip();
    let mut command = clean_command(python);
    command.arg(workspace.source("tests/bench/training.py")).arg(workspace.worker_program()).arg(REPEATS.to_string());
    let samples: Samples = answer(command, &Value::from(steps))?;
    let peer = format!("PyTorch {}", samples.version);
    let milliseconds = |seconds: &[f64]| seconds.iter().map(|seconds| 1e3 * seconds).collect::<Vec<f64>>();
    let row = |(name, point): (String, Point)| {
        let (ours, theirs) = (milliseconds(&point.onramp), milliseconds(&point.pytorch));
        Row::times("training", &format!("{name}: step"), "ms", ours, Some((&peer, &theirs)))
    };
    Ok(names.into_iter().zip(samples.points).map(row).collect())
}

/// Data-parallel threads beside as many independent processes.
fn side_by_side(workspace: &Workspace, task: &Task) -> Result<[Row; 2]> {
    let run: SideBySide = experiment(
        workspace,
        "side_by_side",
        json!({
            "model": task.model, "rows": task.rows, "workers": WORKERS, "samples": REPEATS,
            "synchronisation": {"buckets": {"bytes": 25 << 20}}
        }),
    )?;
    let metric = |what: &str| format!("{}: {WORKERS} {what}, rows/s", task.name);
    Ok([
        Row::rate(
            "shared machine",
            &metric("processes"),
            "/s",
            run.processes.samples.clone(),
            ("1 alone", &run.alone.samples),
        ),
        Row::rate(
            "shared machine",
            &metric("data-parallel threads"),
            "/s",
            run.threads.samples,
            (&format!("{WORKERS} processes"), &run.processes.samples),
        ),
    ])
}

fn all_reduce(workspace: &Workspace) -> Result<Row> {
    let run: AllReduce = experiment(
        workspace,
        "all_reduce_bandwidth",
        json!({"workers": WORKERS, "bytes": ALL_REDUCE_BYTES, "algorithm": "ring", "samples": 3 * REPEATS}),
    )?;
    let milliseconds = |times: Estimate| times.samples.iter().map(|seconds| 1e3 * seconds).collect::<Vec<f64>>();
    let metric = format!("{} MB between {WORKERS} threads", ALL_REDUCE_BYTES / 1_000_000);
    let copy = milliseconds(run.copy_seconds);
    Ok(Row::times(
        "all-reduce",
        &metric,
        "ms",
        milliseconds(run.all_reduce_seconds),
        Some(("copy of as many bytes", &copy)),
    ))
}

/// How near each step comes to what the machine's memory and arithmetic allow.
fn below_the_roof(workspace: &Workspace, tasks: &[Task]) -> Result<Vec<Row>> {
    let steps: Vec<Value> = steps(tasks).into_iter().map(|(_, step)| step).collect();
    let run: Roofline = experiment(workspace, "step_roofline", json!({"steps": steps, "samples": REPEATS}))?;
    let mut rows = Vec::new();
    for Roof { peaks, placed } in run.roofs {
        let on = format!("{} thread{}", peaks.threads, if peaks.threads == 1 { "" } else { "s" });
        rows.push(Row::plain(
            "roofline",
            &format!("{on}: copy, read and written"),
            1e-9 * peaks.bytes_per_second.median,
            "GB/s",
        ));
        rows.push(Row::plain(
            "roofline",
            &format!("{on}: matrix product"),
            1e-9 * peaks.flops_per_second.median,
            "GFLOP/s",
        ));
        for run in placed {
            let metric = format!("{on}: {}, {:.0} FLOP/byte, limit: {}", run.name, run.intensity, run.limit);
            let achieved: Vec<f64> = run.achieved.samples.iter().map(|rate| 1e-9 * rate).collect();
            rows.push(Row::rate(
                "roofline",
                &metric,
                "GFLOP/s",
                achieved,
                ("the roof there", &[1e-9 * run.attainable.median]),
            ));
        }
    }
    Ok(rows)
}
