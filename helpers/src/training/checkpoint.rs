//! Where a training run was, in a file, so that it can go on after a crash as if nothing had happened.
//!
//! The file is a safetensors file, which other tools can open. It appears whole or not at all: it is written
//! beside its place, forced to the disk, and then renamed, which a file system does in one piece.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Evaluated, Evaluation};
use crate::error::{Error, Result};

/// Names the layout of the file; a change of the layout changes it.
const FORMAT: &str = "onramp-checkpoint-1";
/// What may differ between the run that saved and the run that goes on: where it ends, and on what it runs.
const MAY_DIFFER: [&str; 3] = ["steps", "target_loss", "device"];
const MODEL: &str = "model.";
const MOMENTS: &str = "optimiser.moments";
const LOSSES: &str = "run.losses";
/// Rows of step, held-out loss and held-out accuracy.
const EVALUATIONS: &str = "run.evaluations";

/// Where and how often a run saves itself.
///
/// ```no_run
/// use onramp::prelude::*;
///
/// // Stopped and started again, this goes on from the last multiple of 100 steps.
/// let run = Training::new(Mlp::new(256)).steps(2_000).run_saving(&Checkpoints::at("run.safetensors").every(100))?;
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    pub(crate) path: PathBuf,
    pub(crate) every: usize,
}

impl Checkpoints {
    /// Saves to this file every 100 steps, at the end, and when the run is interrupted.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), every: 100 }
    }

    /// The same with another number of steps between two saves: so many are redone at most.
    pub fn every(mut self, steps: usize) -> Self {
        self.every = steps;
        self
    }
}

/// Everything that decides how a run goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub steps: usize,
    /// Name and numbers of each variable of the model, in the order of their names.
    pub variables: Vec<(String, Vec<f32>)>,
    /// The optimiser's moments, as [`super::OptimiserState::moments`] gives them.
    pub moments: Vec<f32>,
    /// The loss of each step done.
    pub losses: Vec<f64>,
    /// The held-out results so far.
    pub evaluations: Vec<Evaluated>,
    /// The run's [`Training`](super::Training) as JSON.
    pub(crate) description: String,
    pub(crate) place: Place,
}

/// Where the run is in its data, and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The seed of the pass over the data, and the next row in its order.
    pub(crate) pass_seed: u64,
    pub(crate) next_row: usize,
    pub(crate) seconds: f64,
    /// Seconds of steps before each of the evaluations, where workers share the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) evaluated_after: Vec<f64>,
}

impl Checkpoint {
    /// Puts the file in its place, in one piece.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is missing or full; a checkpoint that was there before is then still there.
    pub fn save(&self, path: &Path) -> Result<()> {
        let content = self.to_bytes()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let explain = |error| Error::io(format!("the checkpoint {} can't be written", path.display()), error);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(explain)?;
        file.write_all(&content).and_then(|()| file.as_file().sync_all()).map_err(explain)?;
        file.persist(path).map_err(|error| explain(error.error))?;
        // The new name, too, must survive a power cut.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(explain)
    }

    /// Reads a checkpoint and looks whether it is whole.
    ///
    /// # Errors
    /// [`Error::Data`] when the file is missing, cut off, damaged, or something else.
    pub fn load(path: &Path) -> Result<Self> {
        let content = std::fs::read(path).map_err(|error| Error::data(path, format!("can't be read: {error}")))?;
        Self::from_bytes(&content).map_err(|reason| Error::data(path, reason))
    }

    /// Refuses to go on with a run of another description.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] with the first difference.
    pub(crate) fn check_fits(&self, training: &impl Serialize, path: &Path) -> Result<()> {
        // Both go through the same text, in which a number may lose its last bit.
        let (saved, wanted) = (fields(&self.description)?, fields(&describe(training)?)?);
        let differs = |name: &&String| !MAY_DIFFER.contains(&name.as_str()) && saved.get(*name) != wanted.get(*name);
        let Some(name) = wanted.keys().chain(saved.keys()).find(differs) else { return Ok(()) };
        let shown =
            |fields: &serde_json::Map<String, Value>| fields.get(name).map_or("not set".to_string(), Value::to_string);
        Err(Error::invalid(format!(
            "the checkpoint {} was saved by a run whose {name} is {}, and this run's is {}; use another file for \
             this run, or delete that one",
            path.display(),
            shown(&saved),
            shown(&wanted)
        )))
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let evaluations =
            self.evaluations.iter().flat_map(|at| [at.step as f64, at.held_out.loss, at.held_out.accuracy]);
        let (moments, losses) = (f32_bytes(&self.moments), f64_bytes(self.losses.iter().copied()));
        let evaluations = f64_bytes(evaluations);
        let variables: Vec<Vec<u8>> = self.variables.iter().map(|(_, values)| f32_bytes(values)).collect();
        let broken = |error| Error::invalid(format!("the checkpoint can't be put into its format: {error}"));
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).map_err(broken);
        let mut tensors = vec![
            (MOMENTS.to_owned(), view(Dtype::F32, vec![self.moments.len()], &moments)?),
            (LOSSES.to_owned(), view(Dtype::F64, vec![self.losses.len()], &losses)?),
            (EVALUATIONS.to_owned(), view(Dtype::F64, vec![self.evaluations.len(), 3], &evaluations)?),
        ];
        for ((name, values), bytes) in self.variables.iter().zip(&variables) {
            tensors.push((format!("{MODEL}{name}"), view(Dtype::F32, vec![values.len()], bytes)?));
        }
        let place = as_text(&self.place)?;
        let metadata = [
            ("format", FORMAT.to_owned()),
            ("steps", self.steps.to_string()),
            ("training", self.description.clone()),
            ("sha256", checksum(&tensors, [&self.description, &place])),
            ("place", place),
        ];
        serialize(tensors, Some(metadata.map(|(name, value)| (name.to_owned(), value)).into())).map_err(broken)
    }

    fn from_bytes(content: &[u8]) -> Result<Self, String> {
        const DAMAGED: &str = "delete it to start from the beginning, or put back a copy";
        let damaged = |what: String| format!("is cut off or damaged ({what}); {DAMAGED}");
        let not_ours = || "is not a checkpoint of a training run; choose another name".to_owned();
        // A file whose beginning is no header at all was never one of these.
        let (_, header) = SafeTensors::read_metadata(content).map_err(|error| match content.get(8) {
            Some(b'{') => damaged(error.to_string()),
            _ => not_ours(),
        })?;
        let tensors = SafeTensors::deserialize(content).map_err(|error| damaged(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |name: &str| metadata.get(name).map(String::as_str).unwrap_or_default();
        if text("format") != FORMAT {
            return Err(not_ours());
        }
        // By name, which is also the order of the variables.
        let mut all = tensors.tensors();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        if checksum(&all, [text("training"), text("place")]) != text("sha256") {
            return Err(damaged("its checksum is another one".into()));
        }
        let bytes = |name: &str| tensors.tensor(name).map(|t| t.data()).map_err(|error| damaged(error.to_string()));
        let variable = |(name, view): &(String, TensorView<'_>)| {
            Some((name.strip_prefix(MODEL)?.to_owned(), f32_values(view.data())))
        };
        Ok(Self {
            steps: text("steps").parse().map_err(|_| damaged("its number of steps".into()))?,
            variables: all.iter().filter_map(variable).collect(),
            moments: f32_values(bytes(MOMENTS)?),
            losses: f64_values(bytes(LOSSES)?),
            evaluations: f64_values(bytes(EVALUATIONS)?).chunks_exact(3).map(evaluated).collect(),
            description: text("training").to_owned(),
            place: serde_json::from_str(text("place")).map_err(|error| damaged(error.to_string()))?,
        })
    }
}

fn evaluated(row: &[f64]) -> Evaluated {
    Evaluated { step: row[0] as usize, held_out: Evaluation { loss: row[1], accuracy: row[2] } }
}

/// A run's description, as a checkpoint keeps it.
pub(crate) fn describe(training: &impl Serialize) -> Result<String> {
    as_text(training)
}

fn as_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::invalid(format!("no text can be made of the run: {error}")))
}

fn fields(description: &str) -> Result<serde_json::Map<String, Value>> {
    serde_json::from_str(description)
        .map_err(|error| Error::invalid(format!("the training's description can't be compared: {error}")))
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn f64_bytes(values: impl Iterator<Item = f64>) -> Vec<u8> {
    values.flat_map(f64::to_le_bytes).collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())).collect()
}

fn f64_values(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default())).collect()
}

/// Over the texts, and the names and contents of all tensors in the order of their names.
fn checksum(tensors: &[(String, TensorView<'_>)], texts: [&str; 2]) -> String {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| hash.update(text));
    for (name, view) in sorted {
        hash.update(name);
        hash.update((view.data().len() as u64).to_le_bytes());
        hash.update(view.data());
    }
    format!("{:x}", hash.finalize())
}
