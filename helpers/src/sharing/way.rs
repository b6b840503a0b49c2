//! The ways of sharing a training step between workers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Compression;
use super::gradient_mean::validate;
use crate::communication::{Algorithm, Collective, Synchronisation};
use crate::error::{Error, Result};
use crate::model::{Architecture, Model};
use crate::training::optimiser::{Optimiser, Rule};
use crate::training::pass;

/// Who has what, and when the workers talk.
///
/// With the asynchronous ways each worker's gradient is an update of its own, by the whole learning rate: a step of p
/// workers moves the parameters p times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Data-parallel: each worker has the whole model and some of a step's rows, and the gradients are averaged in
    /// every step.
    EveryStep {
        /// When and in which pieces they are sent.
        synchronisation: Synchronisation,
        /// In which form.
        compression: Option<Compression>,
    },
    /// Each worker takes this many steps on its own; then the parameters are averaged (Stich 2019, "Local SGD Converges
    /// Fast and Communicates Little").
    LocalSteps {
        /// Steps between two averages, H.
        steps: usize,
    },
    /// Asynchronous: each worker sends its gradients to a further worker, which changes the parameters at once and
    /// sends them back. Nobody waits for anybody else, and gradients are as old as the updates of the others meanwhile
    /// (Dean et al. 2012, "Large Scale Distributed Deep Networks").
    ParameterServer,
    /// Asynchronous in one memory: all workers change the same parameters without a lock, and may overwrite each other
    /// (Niu et al. 2011, "Hogwild!").
    Hogwild,
    /// Tensor-parallel: each worker has a share of each layer's hidden units or heads, and all have all rows.
    Tensor,
    /// Each worker has some of the layers, and a step's rows pass through in parts: first all forward, then all back
    /// (Huang et al. 2019, "GPipe").
    Pipeline {
        /// The parts.
        micro_batches: usize,
    },
}

impl Sharing {
    /// Data-parallel with nothing compressed or overlapped.
    pub fn every_step() -> Self {
        Self::EveryStep { synchronisation: Synchronisation::default(), compression: None }
    }

    /// Data-parallel with compressed gradients.
    pub fn compressed(compression: Compression) -> Self {
        Self::EveryStep { synchronisation: Synchronisation::default(), compression: Some(compression) }
    }

    /// Data-parallel, where gradients are sent while the pass goes on, in buckets of at least this many bytes.
    pub fn overlapped(bytes: usize) -> Self {
        Self::EveryStep { synchronisation: Synchronisation::Overlapped { bytes }, compression: None }
    }

    /// Threads that a run has besides its workers: the parameter server.
    pub(super) fn servers(self) -> usize {
        usize::from(self == Self::ParameterServer)
    }

    /// Whether each worker has rows of its own.
    pub(super) fn divides_rows(self) -> bool {
        !matches!(self, Self::Tensor | Self::Pipeline { .. })
    }

    /// The collective calls of one step, with the numbers of each, for a [`Replay`](crate::communication::Replay). Where
    /// workers talk every H steps these are the calls of the last of them. None where workers don't wait for all the
    /// others.
    pub fn calls(
        self,
        model: &Model,
        rows: usize,
        algorithm: Algorithm,
        world_size: usize,
    ) -> Option<Vec<(Collective, usize)>> {
        let all_reduce = Collective::AllReduce(algorithm);
        match self {
            Self::EveryStep { compression: Some(compression), .. } => {
                Some(compression.calls(model, algorithm, world_size))
            }
            Self::EveryStep { synchronisation, .. } => {
                Some(synchronisation.messages(model).into_iter().map(|elements| (all_reduce, elements)).collect())
            }
            Self::LocalSteps { .. } => Some(vec![(all_reduce, model.parameters())]),
            Self::Tensor => match model {
                Model::Mlp(model) => Some(vec![(all_reduce, rows * model.width())]),
                Model::Transformer(model) => {
                    Some(vec![(all_reduce, rows * model.columns() * model.width()); 4 * model.depth()])
                }
                Model::Convnet(_) => None,
            },
            Self::ParameterServer | Self::Hogwild | Self::Pipeline { .. } => None,
        }
    }

    /// Refuses what can't be shared that way.
    pub(super) fn validate(self, model: &Model, rows: usize, optimiser: &Optimiser, workers: usize) -> Result<()> {
        if self.divides_rows() && !rows.is_multiple_of(workers) {
            return Err(Error::invalid(format!(
                "{rows} rows in a step can't be shared evenly by {workers} workers, and the mean of their gradients would \
                 be another one; use {} or {}",
                (rows / workers).max(1) * workers,
                (rows / workers + 1) * workers
            )));
        }
        match self {
            Self::EveryStep { synchronisation, compression } => validate(synchronisation, compression),
            Self::LocalSteps { steps: 0 } => {
                Err(Error::invalid("0 local steps between two averages train nothing; use at least 1, such as 8"))
            }
            Self::LocalSteps { .. } | Self::ParameterServer => Ok(()),
            Self::Hogwild => match optimiser.rule {
                Rule::Sgd { momentum: 0.0 } if optimiser.clip_norm.is_none() => Ok(()),
                _ => Err(Error::invalid(
                    "Hogwild's workers share parameters and nothing else, so only plain descent works: use \
                     Optimiser::sgd(rate) without momentum and clipping",
                )),
            },
            Self::Tensor | Self::Pipeline { .. } if optimiser.clip_norm.is_some() => Err(Error::invalid(
                "gradients can't be clipped by their norm where each worker has only some of them; leave clip_norm out",
            )),
            Self::Tensor => {
                let (units, what) = match model {
                    Model::Mlp(model) => (model.width(), "hidden units"),
                    Model::Transformer(model) => (model.heads(), "heads"),
                    Model::Convnet(_) => return pass::block_count(model).map(drop),
                };
                if !units.is_multiple_of(workers) {
                    return Err(Error::invalid(format!(
                        "{units} {what} can't be shared evenly by {workers} workers; use another width or number of \
                         workers"
                    )));
                }
                Ok(())
            }
            Self::Pipeline { micro_batches } => {
                let blocks = pass::block_count(model)?;
                if workers > blocks {
                    return Err(Error::invalid(format!(
                        "a model of {blocks} parts can't be a pipeline of {workers} workers; use at most {blocks}, or a \
                         deeper model"
                    )));
                }
                if micro_batches == 0 || !rows.is_multiple_of(micro_batches) {
                    return Err(Error::invalid(format!(
                        "{rows} rows in a step can't be cut evenly into {micro_batches} micro-batches; use a divisor of \
                         {rows}, such as {}",
                        (2..=8).rev().find(|parts| rows.is_multiple_of(*parts)).unwrap_or(1)
                    )));
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryStep { compression: Some(compression), .. } => write!(f, "every step, {compression}"),
            Self::EveryStep { synchronisation, .. } => write!(f, "every step, {synchronisation}"),
            Self::LocalSteps { steps } => write!(f, "{steps} local steps"),
            Self::ParameterServer => write!(f, "parameter server"),
            Self::Hogwild => write!(f, "Hogwild"),
            Self::Tensor => write!(f, "tensor-parallel"),
            Self::Pipeline { micro_batches } => write!(f, "pipeline, {micro_batches} micro-batches"),
        }
    }
}
