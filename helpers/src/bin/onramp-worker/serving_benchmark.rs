//! What a served model costs beyond the model, how much load it takes, and how it bears more: the load generator on one core,
//! the server on another.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use onramp::Error;
use onramp::experiment::InferenceTime;
use onramp::load::{Capacity, Load, LoadRun};
use onramp::machine::Machine;
use onramp::measure::Estimate;
use onramp::model::Mlp;
use onramp::serving::{Deployment, Policy, Program, Server, ServiceProcess, ServiceTime};
use serde::Serialize;

type Result<T> = std::result::Result<T, Error>;

const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;
const COLUMNS: usize = 784;
/// The widths of the models, M(w), that are served.
const WIDTHS: [usize; 4] = [256, 1024, 2048, 4096];
/// The model of the long runs and of the comparison.
const WIDTH: usize = 256;
const OVERLOADED_WIDTH: usize = 1024;
const BATCH: usize = 64;
const REPEATS: usize = 5;
const TRIES: usize = 5;
const SECONDS: f64 = 2.0;

/// What is asked for.
pub struct Benchmark {
    soak_seconds: f64,
    /// A Python with FastAPI and PyTorch, and the program that it runs.
    peer: Option<(PathBuf, PathBuf)>,
}

/// One measured value, as `cargo lab bench` prints it.
#[derive(Serialize)]
struct Row {
    case: &'static str,
    metric: String,
    value: f64,
    unit: &'static str,
    samples: Vec<f64>,
    peer: String,
    ratio: Option<f64>,
}

impl Row {
    fn of(case: &'static str, metric: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Result<Self> {
        let value = Estimate::from_samples(samples.clone())?.median;
        Ok(Self { case, metric: metric.into(), value, unit, samples, peer: String::new(), ratio: None })
    }

    fn beside(self, peer: impl Into<String>, ratio: f64) -> Self {
        Self { peer: peer.into(), ratio: Some(ratio), ..self }
    }
}

impl Benchmark {
    /// From the arguments after `--serving-benchmark`.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut benchmark = Self { soak_seconds: 600.0, peer: None };
        while let Some(flag) = arguments.next() {
            let mut next = || arguments.next().unwrap_or_default();
            match flag.as_str() {
                "--soak" => {
                    let value = next();
                    benchmark.soak_seconds =
                        value.parse().ok().filter(|seconds| (1.0..=3600.0).contains(seconds)).ok_or_else(|| {
                            Error::InvalidInput(format!("--soak is '{value}'; give seconds from 1 to 3600"))
                        })?;
                }
                "--peer" => benchmark.peer = Some((next().into(), next().into())),
                other => {
                    return Err(Error::InvalidInput(format!(
                        "the benchmark does not know {other}; it takes --soak SECONDS and --peer PYTHON PROGRAM"
                    )));
                }
            }
        }
        Ok(benchmark)
    }

    /// Measures, and prints the rows as JSON.
    pub fn run(&self) -> Result<()> {
        let cores = Machine::detect().physical_cores;
        if cores < 2 {
            return Err(Error::InvalidInput(format!(
                "the server and the load generator need a core each, and there is {cores}; run the benchmark on a machine \
                 with at least 2"
            )));
        }
        let mut rows = Vec::new();
        // Each is told at once: the whole takes half an hour, and may fail near its end.
        let mut tell = |measured: Vec<Row>| {
            measured.iter().for_each(|row| eprintln!("  {}: {:.4} {} {}", row.metric, row.value, row.unit, row.peer));
            rows.extend(measured);
        };
        let mut unloaded = 0.0;
        for width in WIDTHS {
            let (measured, median) = own_cost(width)?;
            tell(measured);
            if width == WIDTH {
                unloaded = median;
            }
        }
        tell(batches()?);
        if let Some((python, program)) = &self.peer {
            tell(beside_fastapi(python, program)?);
        }
        // HAProxy where it is installed.
        for program in [None, Some(Program::Embedded)] {
            tell(killed_replica(program)?);
        }
        for width in [WIDTH, OVERLOADED_WIDTH] {
            tell(overload(width)?);
        }
        let capacity = capacity(WIDTH, unloaded)?;
        let metric = format!("M({WIDTH}), JSON: requests/s with a p99 below {:.2} ms", 1e4 * unloaded);
        tell(vec![Row::of("capacity", metric, "1/s", vec![capacity])?]);
        tell(self.soak(capacity)?);
        let text = serde_json::to_string(&rows)
            .map_err(|cause| Error::InvalidInput(format!("the rows have no JSON form ({cause})")))?;
        println!("{text}");
        Ok(())
    }

    /// A long load below the capacity, and then the server that bore it in turn with a new one: what other programs on the
    /// machine did meanwhile is not the server's growing old.
    fn soak(&self, capacity: f64) -> Result<Vec<Row>> {
        eprintln!("{} s at 80 % of the capacity", self.soak_seconds);
        let server = served(WIDTH).start_on_core(SERVER_CORE)?;
        let rate = 0.8 * capacity;
        let load = |server: &ServiceProcess| json_load(server.address()).rate(rate);
        // What a server needs for each of its connections is no growth: so many come that all are opened.
        json_load(server.address()).rate(3.0 * capacity).run()?;
        let before = server.memory_bytes()? as f64;
        let run = load(&server).seconds(self.soak_seconds).run()?;
        let growth = server.memory_bytes()? as f64 / before;
        if let Some(reason) = &run.not_kept_up {
            eprintln!("{reason}");
        }
        let p99: Vec<f64> = run.series.iter().filter_map(|second| second.p99_seconds).collect();
        let middle = |part: &[f64]| Estimate::from_samples(part.to_vec()).map(|estimate| estimate.median);
        let third = p99.len().div_ceil(3);
        let drift = middle(&p99[p99.len() - third..])? / middle(&p99[..third])?;
        let new = served(WIDTH).start_on_core(SERVER_CORE)?;
        json_load(new.address()).rate(3.0 * capacity).run()?;
        let (mut aged, mut fresh) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            aged.push(kept_up(&load(&server).seconds(5.0))?.percentile(99.0)?);
            fresh.push(kept_up(&load(&new).seconds(5.0))?.percentile(99.0)?);
        }
        let (aged, fresh) = (Estimate::from_samples(aged)?.median, Estimate::from_samples(fresh)?.median);
        let name = |what: &str| format!("M({WIDTH}), {} s at {rate:.0} requests/s: {what}", self.soak_seconds);
        let failed = (run.due - run.succeeded()) as f64;
        Ok(vec![
            Row::of("soak", name("requests that failed"), "", vec![failed])?,
            Row::of("soak", name("memory after over before"), "times", vec![growth])?,
            Row::of("soak", name("p99 of a second, last third over first"), "times", vec![drift])?,
            Row::of("soak", name("p99 afterwards over that of a new server, in turn"), "times", vec![aged / fresh])?,
        ])
    }
}

/// The server of most measurements: batches of what waits, without waiting for more.
fn served(width: usize) -> Server {
    Server::new(Mlp::new(width)).batch_cap(BATCH).queue_bound(256)
}

fn predict(address: &str) -> Load {
    Load::new(format!("http://{address}/predict")).on_core(GENERATOR_CORE).seconds(SECONDS).warm_up_seconds(0.5)
}

fn json_load(address: &str) -> Load {
    predict(address).json_rows(1, COLUMNS)
}

/// A run in which the generator kept up, out of so many: other programs may have been on its core.
fn kept_up(load: &Load) -> Result<LoadRun> {
    let mut run = load.run()?;
    for _ in 1..TRIES {
        if run.kept_up() {
            break;
        }
        run = load.run()?;
    }
    Ok(run)
}

/// Answers per second of a server that is given more than it can do: what was not sent in time does not matter.
fn most(load: &Load) -> Result<f64> {
    let run = load.run()?;
    match run.answers.iter().find(|(status, _)| **status != 200) {
        Some((status, count)) => Err(Error::Worker(format!("{count} requests were answered with {status}, not 200"))),
        None => Ok(run.goodput_per_second()),
    }
}

/// What the server adds to the model at batch 1: to the latency under a light load, and to the processor time and so to the
/// throughput of a server that is never idle. The model's part is what it took in that server at that time: cold after a pause, and
/// beside the generator, it takes longer than alone in a loop, which the last row compares.
fn own_cost(width: usize) -> Result<(Vec<Row>, f64)> {
    eprintln!("M({width}): the server's own cost");
    let server = Server::new(Mlp::new(width)).queue_bound(256).start_on_core(SERVER_CORE)?;
    let count = |metric: &str| server.metric(metric).map(|value| value.unwrap_or(0.0));
    let model = || -> Result<(f64, f64)> {
        Ok((count("onramp_inference_seconds_sum")?, count("onramp_inference_seconds_count")?))
    };
    let alone = InferenceTime::new(Mlp::new(width)).rows([1]).samples(1).on_core(SERVER_CORE);
    let (mut latencies, mut costs, mut own, mut shares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let seconds = alone.run()?.seconds[0].median;
        let before = model()?;
        let light = kept_up(&json_load(server.address()).rate(0.1 / seconds.max(2e-4)).constant())?;
        let after = model()?;
        let median = light.percentile(50.0)?;
        latencies.push(median);
        costs.push(1e3 * (median - (after.0 - before.0) / (after.1 - before.1)));
        // More than it can do, from so many connections that something always waits, and nothing is refused.
        let flood = predict(server.address()).tensor_rows(1, COLUMNS).connections(16).rate(1.5 / seconds);
        let (before, used) = (model()?, server.processor_seconds()?);
        shares.push(most(&flood)? * seconds);
        own.push(1.0 - (model()?.0 - before.0) / (server.processor_seconds()? - used));
    }
    let unloaded = Estimate::from_samples(latencies)?.median;
    let name = |what: &str| format!("M({width}), batch 1: {what}");
    Ok((
        vec![
            Row::of("cost", name("median latency of JSON under light load, less the model's time"), "ms", costs)?,
            Row::of("cost", name("share of the processor time that is not the model's, tensors"), "", own)?,
            Row::of("cost", name("requests/s over what the model alone does in a loop, tensors"), "times", shares)?,
        ],
        unloaded,
    ))
}

/// Batches of 64 rows, in one request each and from as many requests as it takes.
fn batches() -> Result<Vec<Row>> {
    eprintln!("M({WIDTH}): batches of {BATCH} rows");
    let server = served(WIDTH).start_on_core(SERVER_CORE)?;
    let alone = InferenceTime::new(Mlp::new(WIDTH)).rows([BATCH]).samples(1).on_core(SERVER_CORE);
    let (mut together, mut gathered) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let rate = BATCH as f64 / alone.run()?.seconds[0].median;
        let load = |rows| predict(server.address()).tensor_rows(rows, COLUMNS);
        let whole = load(BATCH).connections(4).rate(1.5 * rate / BATCH as f64);
        together.push(BATCH as f64 * most(&whole)? / rate);
        gathered.push(most(&load(1).connections(2 * BATCH).rate(60_000.0))? / rate);
    }
    let name = |what: &str| format!("M({WIDTH}): rows/s over what the model alone does with {BATCH} rows, {what}");
    Ok(vec![
        Row::of("batching", name("requests of 64 rows"), "times", together)?,
        Row::of("batching", name("requests of 1 row, gathered"), "times", gathered)?,
    ])
}

/// The highest rate with a p99 below ten times `seconds`.
fn capacity(width: usize, seconds: f64) -> Result<f64> {
    eprintln!("M({width}): the capacity");
    let server = served(width).start_on_core(SERVER_CORE)?;
    let run = Capacity::new(json_load(server.address()), seconds).run()?;
    eprintln!("{}", run.table());
    Ok(run.per_second)
}

/// Three times as much as it can do.
fn overload(width: usize) -> Result<Vec<Row>> {
    eprintln!("M({width}): three times the capacity");
    let server = served(width).start_on_core(SERVER_CORE)?;
    let light = kept_up(&json_load(server.address()).rate(200.0).constant())?.percentile(50.0)?;
    let capacity = Capacity::new(json_load(server.address()), light).run()?.per_second;
    let run = json_load(server.address()).rate(3.0 * capacity).connections(1024).seconds(10.0).run()?;
    let others: u64 =
        run.answers.iter().filter(|(status, _)| ![200, 429].contains(*status)).map(|(_, count)| count).sum();
    let name = |what: &str| format!("M({width}), JSON, three times {capacity:.0} requests/s: {what}");
    if let Some(reason) = &run.not_kept_up {
        eprintln!("{reason}");
    }
    let lost: u64 = run.failures.values().sum();
    Ok(vec![
        Row::of("overload", name("goodput over capacity"), "times", vec![run.goodput_per_second() / capacity])?,
        Row::of("overload", name("answers that are neither 200 nor 429, and none"), "", vec![(others + lost) as f64])?,
    ])
}

/// One of two replicas behind a balancer is killed while both have requests: those that get no answer, without and with
/// retries. The replicas wait 20 ms for each batch, in the place of a model, so that many requests are under way on two cores.
fn killed_replica(program: Option<Program>) -> Result<Vec<Row>> {
    let replica = Server::timed(ServiceTime::constant(0.020)).batch_cap(BATCH);
    let mut deployment = Deployment::new(replica).replicas(2).policy(Policy::LeastConnections);
    if let Some(program) = program {
        deployment = deployment.with(program);
    }
    let mut rows = Vec::new();
    for retry in [false, true] {
        let (mut failed, mut over, mut used) = (0_f64, 0_f64, Program::Embedded);
        for _ in 0..REPEATS {
            let mut running = deployment.clone().retry_idempotent(retry).start()?;
            used = running.program();
            let address = running.address().to_string();
            let load = std::thread::spawn(move || json_load(&address).rate(1_000.0).seconds(4.0).run());
            std::thread::sleep(Duration::from_secs(2));
            running.kill(1)?;
            let run = load.join().map_err(|_| Error::Worker("the load generator panicked".to_string()))??;
            let under_way = running.load()?.backends[1].most_in_flight;
            let lost = (run.due - run.succeeded()) as f64;
            failed = failed.max(lost);
            over = over.max(lost / under_way.max(1) as f64);
        }
        let with = if retry { "with" } else { "without" };
        let name = |what: &str| format!("{used}, {with} retries, 1 of 2 replicas killed at 1000 requests/s: {what}");
        rows.push(Row::of("killed", name("requests that failed, the most of 5 runs"), "", vec![failed])?);
        rows.push(Row::of("killed", name("failed over the most that it had under way"), "times", vec![over])?);
    }
    Ok(rows)
}

/// A server of another make. It is killed when this value goes.
struct Peer {
    child: Child,
    address: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests per second of ours and FastAPI's below the same p99: ten times FastAPI's own latency without load.
fn beside_fastapi(python: &PathBuf, program: &PathBuf) -> Result<Vec<Row>> {
    eprintln!("M({WIDTH}): beside FastAPI");
    let mut child = Command::new(python)
        .arg(program)
        .args([WIDTH.to_string(), SERVER_CORE.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|cause| Error::io(format!("starting {}", python.display()), cause))?;
    let mut address = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output)
            .read_line(&mut address)
            .map_err(|cause| Error::io("reading FastAPI's address", cause))?;
    }
    let peer = Peer { child, address: address.trim().to_string() };
    let light = kept_up(&json_load(&peer.address).rate(50.0).constant())?.percentile(50.0)?;
    let ours = served(WIDTH).start_on_core(SERVER_CORE)?;
    let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        our_rates.push(Capacity::new(json_load(ours.address()), light).first_rate(4_000.0).run()?.per_second);
        their_rates.push(Capacity::new(json_load(&peer.address), light).run()?.per_second);
    }
    let theirs = Estimate::from_samples(their_rates)?;
    let metric = format!("M({WIDTH}), JSON: requests/s with a p99 below {:.2} ms", 1e4 * light);
    let row = Row::of("peer", metric, "1/s", our_rates)?;
    let ratio = row.value / theirs.median;
    Ok(vec![row.beside(format!("FastAPI, uvicorn, PyTorch: {:.0} 1/s", theirs.median), ratio)])
}
