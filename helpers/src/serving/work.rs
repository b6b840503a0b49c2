//! What a prediction server does for a batch: a model's pass forward, or a wait in its place.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::service_time::{ServiceTime, Waits};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Architecture, Model, Network};
use crate::training::scores;

/// Classes that a service of waits has.
const TIMED_CLASSES: usize = 10;

/// What a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Served {
    /// A model, built from a seed until it is given other parameters.
    Model { model: Model, seed: u64 },
    /// Waits for as long as a model might take.
    Timed { time: ServiceTime },
}

/// One request's share of a batch's result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scores {
    /// Shape (rows, classes): the probabilities of the classes.
    pub(crate) probabilities: Vec<f32>,
    pub(crate) classes: usize,
    /// Of the parameters that gave them: 1 for the first.
    pub(crate) version: u64,
}

/// What is done for each batch.
pub(crate) enum Work {
    Model(RwLock<Arc<Versioned>>),
    Timed(ServiceTime),
}

/// A network and how often its parameters were replaced before it.
pub(crate) struct Versioned {
    network: Network,
    version: u64,
}

/// What the thread of a server keeps between two batches.
pub(crate) enum Scratch {
    Nothing,
    Waits(Waits),
}

impl Served {
    /// Numbers in a row, where they are fixed: a service of waits takes any.
    pub(crate) fn columns(&self) -> Option<usize> {
        match self {
            Self::Model { model, .. } => Some(model.columns()),
            Self::Timed { .. } => None,
        }
    }

    pub(crate) fn start(&self) -> Result<Work> {
        match self {
            Self::Model { model, seed } => {
                if model.predictions_per_row() != 1 {
                    return Err(Error::invalid(format!(
                        "{model} predicts {} classes for each row; serve a model that predicts one, such as Mlp::new(256)",
                        model.predictions_per_row()
                    )));
                }
                let network = model.build(*seed, &Device::Cpu)?;
                Ok(Work::Model(RwLock::new(Arc::new(Versioned { network, version: 1 }))))
            }
            Self::Timed { time } => time.validate().map(|()| Work::Timed(*time)),
        }
    }
}

impl Work {
    /// Whether a core is busy with it, and not only time goes by.
    pub(crate) fn is_computed(&self) -> bool {
        matches!(self, Self::Model(_))
    }

    pub(crate) fn scratch(&self) -> Scratch {
        match self {
            Self::Model(_) => Scratch::Nothing,
            Self::Timed(time) => Scratch::Waits(time.waits()),
        }
    }

    /// The probabilities of a batch's rows, for each request of so many of them.
    ///
    /// # Errors
    /// When the rows don't fit the model.
    pub(crate) fn score(
        &self,
        rows: &[f32],
        counts: &[usize],
        scratch: &mut Scratch,
        start: Instant,
    ) -> Result<Vec<Scores>> {
        let (probabilities, classes, version) = match self {
            Self::Model(current) => {
                let current = current.read().unwrap_or_else(PoisonError::into_inner).clone();
                let classes = current.network.model().classes();
                let mut scores = scores(&current.network, rows)?;
                scores.chunks_exact_mut(classes).for_each(softmax);
                (scores, classes, current.version)
            }
            Self::Timed(_) => {
                let all: usize = counts.iter().sum();
                if let Scratch::Waits(waits) = scratch {
                    waits.wait(all, start);
                }
                (vec![1.0 / TIMED_CLASSES as f32; all * TIMED_CLASSES], TIMED_CLASSES, 1)
            }
        };
        if let [_] = counts {
            return Ok(vec![Scores { probabilities, classes, version }]);
        }
        let mut rest = &probabilities[..];
        let share = |count: &usize| {
            let (own, others) = rest.split_at(count * classes);
            rest = others;
            Scores { probabilities: own.to_vec(), classes, version }
        };
        Ok(counts.iter().map(share).collect())
    }

    /// The version of the parameters that the next batch is computed with.
    pub(crate) fn version(&self) -> u64 {
        match self {
            Self::Model(current) => current.read().unwrap_or_else(PoisonError::into_inner).version,
            Self::Timed(_) => 1,
        }
    }

    /// Puts other parameters in place, between two batches, and returns their version.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when they are not those of the model.
    pub(crate) fn replace(&self, file: &[u8]) -> Result<u64> {
        let Self::Model(current) = self else {
            return Err(Error::invalid("this server has no model, so it takes no parameters"));
        };
        let model = current.read().unwrap_or_else(PoisonError::into_inner).network.model();
        let network = network_of(model, file)?;
        let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
        let version = current.version + 1;
        *current = Arc::new(Versioned { network, version });
        Ok(version)
    }

    /// The same from a file.
    ///
    /// # Errors
    /// [`Error::Data`] when it can't be read or does not fit.
    pub(crate) fn load(&self, path: &Path) -> Result<u64> {
        let file = std::fs::read(path).map_err(|cause| Error::data(path, format!("can't be read ({cause})")))?;
        self.replace(&file).map_err(|cause| Error::data(path, format!("does not fit: {cause}")))
    }
}

/// A network with the variables that stand in a safetensors file.
fn network_of(model: Model, file: &[u8]) -> Result<Network> {
    let tensors = safetensors::SafeTensors::deserialize(file)
        .map_err(|cause| Error::invalid(format!("these are no parameters in the safetensors format ({cause})")))?;
    let mut problem = None;
    let network = model.build_with(&Device::Cpu, |name, shape| {
        let values = floats(&tensors, name, shape).unwrap_or_else(|cause| {
            problem.get_or_insert(cause);
            vec![0.0; shape.iter().product()]
        });
        values
    })?;
    problem.map_or(Ok(network), Err)
}

fn floats(tensors: &safetensors::SafeTensors, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    // A checkpoint keeps the model's variables below this name.
    let tensor = tensors.tensor(name).or_else(|_| tensors.tensor(&format!("model.{name}"))).map_err(|_| {
        let mut names = tensors.names();
        names.sort_unstable();
        Error::invalid(format!("there is no variable {name} among {}", names.join(", ")))
    })?;
    if tensor.dtype() != safetensors::Dtype::F32 || tensor.shape() != shape {
        return Err(Error::invalid(format!(
            "the variable {name} is {:?} of shape {:?}; this model's is F32 of shape {shape:?}",
            tensor.dtype(),
            tensor.shape()
        )));
    }
    let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    match values.iter().find(|value| !value.is_finite()) {
        Some(bad) => Err(Error::invalid(format!("the variable {name} contains {bad}; train again with a lower rate"))),
        None => Ok(values),
    }
}

/// e^x over its sum, without overflow.
pub(super) fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}
