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
    /// Whole variables in buckets of at least this many bytes (the last one may be smaller), the last layer's first.
    /// Each bucket's all-reduce begins as soon as its gradients are there, on a thread of its own, while the worker
    /// goes on towards the first layer (Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel
    /// Training").
    Overlapped {
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
    /// Replaces each worker's gradients by their mean over all workers. All gradients are there already, so nothing is
    /// left to overlap with.
    ///
    /// The mean, not the sum: each worker's loss is a mean over its own rows, so the mean of p such gradients is
    /// the gradient of the mean over all rows, as long as all workers have the same number of them.
    ///
    /// # Errors
    /// [`Error::Worker`] when another worker stopped; [`Error::InvalidInput`] for buckets of less than 4 bytes.
    pub fn average(&self, gradients: &mut Gradients, workers: &mut dyn Communicator) -> Result<()> {
        self.validate()?;
        let share = 1.0 / workers.world_size() as f32;
        let mut parts = gradients.to_parts()?;
        parts.iter_mut().flatten().for_each(|value| *value *= share);
        self.sum(&mut parts, workers)?;
        gradients.set_parts(parts)
    }

    /// Replaces the numbers of each variable by their sums over all workers.
    pub(crate) fn sum(&self, parts: &mut [Vec<f32>], workers: &mut dyn Communicator) -> Result<()> {
        match self {
            Self::PerVariable => parts.iter_mut().try_for_each(|part| workers.all_reduce_sum(part)),
            Self::Buckets { bytes } | Self::Overlapped { bytes } => {
                let mut rest: Vec<&mut [f32]> = parts.iter_mut().map(Vec::as_mut_slice).collect();
                while !rest.is_empty() {
                    let mut bucket = bucket(&mut rest, bytes / size_of::<f32>());
                    workers.all_reduce_sum_coalesced(&mut bucket)?;
                }
                Ok(())
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
            Self::Overlapped { bytes } => {
                let variables: Vec<usize> = model.variables().into_iter().map(|(_, elements)| elements).collect();
                let elements = |bucket: &Vec<usize>| bucket.iter().map(|index| variables[*index]).sum();
                buckets(*bytes, &variables).iter().map(elements).collect()
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
            Self::Buckets { bytes } | Self::Overlapped { bytes } if *bytes < size_of::<f32>() => Err(Error::invalid(
                format!("a bucket of {bytes} bytes holds no number; use at least 4 bytes, such as {BUCKET_BYTES}"),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Synchronisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerVariable => write!(f, "one all-reduce per variable"),
            Self::Buckets { bytes } => write!(f, "buckets of {}", size(*bytes)),
            Self::Overlapped { bytes } => write!(f, "overlapped buckets of {}", size(*bytes)),
        }
    }
}

fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// The numbers of the variables in each bucket of at least `bytes`, from the last variable to the first.
pub(crate) fn buckets(bytes: usize, variables: &[usize]) -> Vec<Vec<usize>> {
    let mut buckets: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for index in (0..variables.len()).rev() {
        match buckets.last_mut() {
            Some(bucket) if room > 0 => bucket.push(index),
            _ => {
                buckets.push(vec![index]);
                room = bytes / size_of::<f32>();
            }
        }
        room = room.saturating_sub(variables[index]);
    }
    buckets
}

/// Takes the first so many elements away from the front of `rest`.
fn bucket<'a>(rest: &mut Vec<&'a mut [f32]>, elements: usize) -> Vec<&'a mut [f32]> {
    let mut room = elements;
    let mut bucket = Vec::new();
    while room > 0 && !rest.is_empty() {
        let part = std::mem::take(&mut rest[0]);
        let (front, back) = part.split_at_mut(room.min(part.len()));
        room -= front.len();
        bucket.push(front);
        if back.is_empty() {
            rest.remove(0);
        } else {
            rest[0] = back;
        }
    }
    bucket
}
