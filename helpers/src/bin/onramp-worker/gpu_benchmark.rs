//! What a GPU makes of training steps: beside its own measured peaks, beside PyTorch, with two workers on it, and over batch
//! sizes.
//!
//! All of it is in this one program, so that it can be carried to a machine that has a GPU and no Rust.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use onramp::Error;
use onramp::device::{Device, Precision};
use onramp::display::{Table, significant};
use onramp::experiment::{SideBySide, SideBySideRun, StepRoofline, StepTime, StepTimeRun};
use onramp::machine::Machine;
use onramp::measure::Estimate;
use onramp::model::{Mlp, Model, Transformer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Error>;

/// Times the same steps in PyTorch, in turn with this program's.
const BESIDE_PYTORCH: &str = include_str!("../../../../tests/bench/training.py");
const PYTHON: &str = "python3";
/// Workers that share one GPU.
const WORKERS: usize = 2;

/// What is asked for.
pub struct Benchmark {
    device: Device,
    samples: usize,
    json: Option<PathBuf>,
}

/// What `training.py` prints: seconds.
#[derive(Serialize, Deserialize)]
struct BesidePytorch {
    version: String,
    points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
struct Point {
    onramp: Vec<f64>,
    pytorch: Vec<f64>,
}

impl Benchmark {
    /// From the arguments after `--gpu-benchmark`.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut benchmark = Self { device: Device::Cuda { ordinal: 0 }, samples: 7, json: None };
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--cpu" => benchmark.device = Device::Cpu,
                "--samples" => {
                    let value = arguments.next().unwrap_or_default();
                    benchmark.samples = value.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
                        Error::InvalidInput(format!("--samples is '{value}'; give a whole number from 1 up"))
                    })?;
                }
                "--json" => {
                    let file = arguments.next().ok_or_else(|| {
                        Error::InvalidInput("--json needs the name of a file, such as --json gpu.json".to_string())
                    })?;
                    benchmark.json = Some(PathBuf::from(file));
                }
                other => {
                    return Err(Error::InvalidInput(format!(
                        "the benchmark does not know {other}; it takes --cpu, --samples N and --json FILE"
                    )));
                }
            }
        }
        Ok(benchmark)
    }

    /// Measures, prints, and writes.
    pub fn run(&self) -> Result<()> {
        // Before anything is timed: a machine without a GPU says so at once.
        self.device.open()?;
        let machine = Machine::detect();
        println!("{machine}\n{}\n", self.gpu_name());
        let steps = self.steps();
        let roofline = StepRoofline::new(steps.clone()).samples(self.samples).run()?;
        for roof in &roofline.roofs {
            println!("{}", roof.table()?);
        }
        println!("{}", step_table(&roofline.roofs.iter().flat_map(|roof| roof.steps.clone()).collect::<Vec<_>>()));
        let shared = self.side_by_side()?;
        for run in &shared {
            println!("{}", run.table());
        }
        let beside = self.beside_pytorch(&steps)?;
        match &beside {
            Some(beside) => println!("{}", beside.table(&steps)?),
            None => {
                println!("There is no {PYTHON} here whose PyTorch sees this device, so nothing stands beside it.\n")
            }
        }
        let Some(file) = &self.json else { return Ok(()) };
        let all = json!({
            "machine": machine,
            "device": self.gpu_name(),
            "roofline": serde_json::to_value(&roofline).unwrap_or(Value::Null),
            "side_by_side": serde_json::to_value(&shared).unwrap_or(Value::Null),
            "beside_pytorch": serde_json::to_value(&beside).unwrap_or(Value::Null),
        });
        std::fs::write(file, all.to_string())
            .map_err(|cause| Error::io(format!("writing {}", file.display()), cause))?;
        println!("Everything that was measured is in {}.", file.display());
        Ok(())
    }

    fn precisions(&self) -> &'static [Precision] {
        match self.device {
            Device::Cpu => &[Precision::F32],
            Device::Cuda { .. } => &[Precision::F32, Precision::Bf16],
        }
    }

    /// Models with the row counts of their steps: what fills the device, and a sweep over batch sizes.
    fn sweeps(&self) -> Vec<(Model, Vec<usize>)> {
        let transformer = |width: usize, context: usize| Transformer::new(width).context(context).vocabulary(64).into();
        match self.device {
            Device::Cpu => vec![(Mlp::new(64).into(), vec![8, 64]), (transformer(32, 16), vec![4])],
            Device::Cuda { .. } => vec![
                (Mlp::new(256).into(), vec![64, 512]),
                (Mlp::new(1024).into(), vec![64, 512, 4096, 32768]),
                (Mlp::new(4096).into(), vec![512, 4096]),
                (transformer(256, 64), vec![16, 256]),
                (transformer(512, 128), vec![64]),
            ],
        }
    }

    fn steps(&self) -> Vec<StepTime> {
        let mut steps = Vec::new();
        for precision in self.precisions() {
            for (model, rows) in self.sweeps() {
                let step = StepTime::new(model).device(self.device).precision(*precision).samples(self.samples);
                steps.extend(rows.into_iter().map(|rows| step.rows(rows)));
            }
        }
        steps
    }

    /// Several workers on one device: each model with its middle row count.
    fn side_by_side(&self) -> Result<Vec<SideBySideRun>> {
        let mut runs = Vec::new();
        for precision in self.precisions() {
            for (model, rows) in self.sweeps() {
                let middle = rows[rows.len() / 2];
                let workers = SideBySide::new(model, WORKERS).rows(middle).samples(self.samples);
                runs.push(workers.device(self.device).precision(*precision).run()?);
            }
        }
        Ok(runs)
    }

    /// Nothing when there is no PyTorch that can use this device.
    fn beside_pytorch(&self, steps: &[StepTime]) -> Result<Option<BesidePytorch>> {
        let able = match self.device {
            Device::Cpu => "import torch",
            Device::Cuda { .. } => "import torch, sys; sys.exit(not torch.cuda.is_available())",
        };
        let asked = Command::new(PYTHON).args(["-c", able]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let own = std::env::current_exe().map_err(|cause| Error::io("finding this program's own file", cause))?;
        let failed = |cause| Error::io(format!("running {PYTHON}"), cause);
        let mut process = Command::new(PYTHON)
            .args(["-c", BESIDE_PYTORCH])
            .arg(own)
            .arg(self.samples.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = process.stdin.take() {
            let steps = serde_json::to_string(steps).map_err(|cause| Error::InvalidInput(cause.to_string()))?;
            input.write_all(steps.as_bytes()).map_err(failed)?;
        }
        let output = process.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Err(Error::Worker(format!(
                "the steps in PyTorch failed ({}); its message is above",
                output.status
            )));
        }
        serde_json::from_slice(&output.stdout)
            .map(Some)
            .map_err(|cause| Error::Worker(format!("the steps in PyTorch printed something else than times: {cause}")))
    }

    /// What the driver calls the GPU.
    fn gpu_name(&self) -> String {
        if self.device == Device::Cpu {
            return self.device.to_string();
        }
        let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
        let answer = Command::new("nvidia-smi").args(query).output().ok().filter(|output| output.status.success());
        let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
        text.unwrap_or_else(|| format!("{} (nvidia-smi does not answer)", self.device))
    }
}

impl BesidePytorch {
    fn table(&self, steps: &[StepTime]) -> Result<Table> {
        let columns = ["step", "onramp, ms", "PyTorch, ms", "PyTorch's time over onramp's"];
        let mut table = Table::new(format!("Beside PyTorch {}, in turn", self.version), columns);
        for (step, point) in steps.iter().zip(&self.points) {
            let (ours, theirs) =
                (Estimate::from_samples(point.onramp.clone())?, Estimate::from_samples(point.pytorch.clone())?);
            let milliseconds = |seconds: &Estimate| seconds.map(|seconds| 1e3 * seconds).to_string();
            table = table.row([
                step.to_string(),
                milliseconds(&ours),
                milliseconds(&theirs),
                theirs.ratio(&ours).to_string(),
            ]);
        }
        Ok(table)
    }
}

/// The times behind the roofline, and the batch sweep.
fn step_table(runs: &[StepTimeRun]) -> Table {
    let table = Table::new("Steps over batch sizes", ["step", "ms", "rows/s"]);
    runs.iter().fold(table, |table, run| {
        let rows = run.experiment.row_count() as f64 / run.seconds.median;
        table.row([run.experiment.to_string(), run.seconds.map(|seconds| 1e3 * seconds).to_string(), significant(rows)])
    })
}
