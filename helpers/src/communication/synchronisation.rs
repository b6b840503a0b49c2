//! Averaging gradients over workers: variable by variable, or in buckets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Algorithm, Communicator, Link};
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::training::Gradients;

/// Bytes that PyTorch's DistributedDataParallel puts in one bucket (its default `bucket_cap_mb=25`).
const BUCKET_BYTES: usize = 25 << 20;

/// How the gradients of a step are handed to the all-reduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronisation {
    /// One all-reduce for each variable. Simple, and it pays the latency for each of them.
    PerVariable,
    /// All variables one after the other, cut into pieces of this many bytes, one all-reduce for each piece.
    Buckets {
        /// Size of a bucket, in bytes.
        bytes: usize,
    },
}

impl Default for Synchronisation {
    fn default() -> Self {
        Self::Buckets { bytes: BUCKET_BYTES }
    }
}

impl Synchronisation {
    /// Replaces each worker's gradients by their mean over all workers.
    ///
    /// The mean, not the sum: each worker's loss is a mean over its own rows, so the mean of p such gradients is
    /// the gradient of the mean over all rows, as long as all workers have the same number of them.
    ///
    /// # Errors
    /// [`Error::Worker`] when another worker stopped; [`Error::InvalidInput`] for buckets of less than 4 bytes.
    pub fn average(&self, gradients: &mut Gradients, workers: &mut dyn Communicator) -> Result<()> {
        self.validate()?;
        let share = 1.0 / workers.world_size() as f32;
        match self {
            Self::PerVariable => {
                for index in 0..gradients.tensors().len() {
                    let mut values = gradients.tensors()[index].flatten_all()?.to_vec1::<f32>()?;
                    workers.all_reduce_sum(&mut values)?;
                    values.iter_mut().for_each(|value| *value *= share);
                    gradients.set_tensor(index, values)?;
                }
                Ok(())
            }
            Self::Buckets { bytes } => {
                let mut flat = gradients.to_flat()?;
                for bucket in flat.chunks_mut(bytes / size_of::<f32>()) {
                    workers.all_reduce_sum(bucket)?;
                    bucket.iter_mut().for_each(|value| *value *= share);
                }
                gradients.set_flat(&flat)
            }
        }
    }

    /// Elements of each all-reduce that a step of this model makes.
    pub fn messages(&self, model: &impl Architecture) -> Vec<usize> {
        match self {
            Self::PerVariable => model.variables().into_iter().map(|(_, elements)| elements).collect(),
            Self::Buckets { bytes } => {
                let bucket = (bytes / size_of::<f32>()).max(1);
                let elements = model.parameters();
                (0..elements).step_by(bucket).map(|start| bucket.min(elements - start)).collect()
            }
        }
    }

    /// Seconds that a step of this model spends in all-reduce by the formulas of [`Algorithm`].
    pub fn seconds(&self, model: &impl Architecture, algorithm: Algorithm, link: &Link, world_size: usize) -> f64 {
        let message = |elements: usize| algorithm.seconds(link, world_size, (elements * size_of::<f32>()) as f64);
        self.messages(model).into_iter().map(message).sum()
    }

    /// Refuses buckets that hold no number.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for buckets of less than 4 bytes.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Buckets { bytes } if *bytes < size_of::<f32>() => Err(Error::invalid(format!(
                "a bucket of {bytes} bytes holds no number; use at least 4 bytes, such as {BUCKET_BYTES}"
            ))),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Synchronisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerVariable => write!(f, "one all-reduce per variable"),
            Self::Buckets { bytes } if bytes % (1 << 20) == 0 => write!(f, "buckets of {} MiB", bytes >> 20),
            Self::Buckets { bytes } => write!(f, "buckets of {bytes} bytes"),
        }
    }
}
