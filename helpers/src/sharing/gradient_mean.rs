//! Gradients averaged over workers that have the same model and rows of their own.

use super::background::Background;
use super::worker::summed;
use super::{Compression, Compressor};
use crate::communication::{Communicator, Synchronisation, buckets};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::model::Network;
use crate::training::Gradients;
use crate::training::pass::Ready;

/// One worker's side of averaging gradients, step after step.
///
/// ```
/// use onramp::prelude::*;
/// use onramp::sharing::GradientMean;
///
/// let data = Source::teacher(1_000).load(0)?;
/// let overlapped = Synchronisation::Overlapped { bytes: 1 << 20 };
/// let losses = Team::new(2)?.run(|worker| {
///     let rank = worker.rank();
///     let network = Mlp::new(16).build(0, &Device::Cpu)?;
///     let mut mean = GradientMean::new(overlapped, None, worker)?;
///     let batch = data.train.batch_range(32 * rank, 32 * (rank + 1), network.device())?;
///     let (loss, _gradients) = mean.of(&network, &batch)?;
///     Ok(loss)
/// })?;
/// assert_eq!(losses.len(), 2);
/// # Ok::<(), onramp::Error>(())
/// ```
pub struct GradientMean<C> {
    synchronisation: Synchronisation,
    compressor: Option<Compressor>,
    path: Path<C>,
    share: f32,
}

enum Path<C> {
    AfterThePass(C),
    DuringThePass { background: Background<C>, bytes: usize },
}

impl<C: Communicator + Send + 'static> GradientMean<C> {
    /// For the worker that this communicator belongs to. All workers must choose the same.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for buckets of less than 4 bytes, a compression that leaves nothing, or one of both
    /// overlapped and compressed: a compressor needs all gradients.
    pub fn new(synchronisation: Synchronisation, compression: Option<Compression>, communicator: C) -> Result<Self> {
        validate(synchronisation, compression)?;
        let share = 1.0 / communicator.world_size() as f32;
        let path = match synchronisation {
            Synchronisation::Overlapped { bytes } => {
                Path::DuringThePass { background: Background::new(communicator)?, bytes }
            }
            _ => Path::AfterThePass(communicator),
        };
        Ok(Self { synchronisation, compressor: compression.map(Compressor::new), path, share })
    }

    /// The loss on this worker's own batch, and the gradients' mean over all workers.
    ///
    /// # Errors
    /// As for [`Gradients::of`], and [`Error::Worker`] when another worker stopped.
    pub fn of(&mut self, network: &Network, batch: &Batch) -> Result<(f64, Gradients)> {
        match &mut self.path {
            Path::AfterThePass(workers) => {
                if let Some(compressor) = &mut self.compressor {
                    let (loss, mut gradients) = Gradients::of(network, batch)?;
                    compressor.average(&mut gradients, workers)?;
                    return Ok((loss, gradients));
                }
                let mut parts = vec![Vec::new(); network.variables().len()];
                // Each worker's share of the mean, so that the sum is the mean.
                let loss = Gradients::handed_over(network, batch, self.share, &mut |index, values| {
                    parts[index] = values;
                    Ok(())
                })?;
                self.synchronisation.sum(&mut parts, workers)?;
                let hand_over = |ready: &mut Ready| {
                    parts.into_iter().enumerate().try_for_each(|(index, values)| ready(index, values))
                };
                Ok((loss, Gradients::collected(network, hand_over)?.1))
            }
            Path::DuringThePass { background, bytes } => overlapped(network, batch, background, *bytes, self.share),
        }
    }

    /// The sum of `values` over all workers, between two steps.
    pub(super) fn sum(&mut self, values: Vec<f32>) -> Result<Vec<f32>> {
        match &mut self.path {
            Path::AfterThePass(workers) => summed(workers, values),
            Path::DuringThePass { background, .. } => {
                background.begin(values)?;
                background.next()
            }
        }
    }

    /// Gives the communicator back.
    ///
    /// # Errors
    /// [`Error::Worker`] when the thread of overlapped all-reduces panicked.
    pub fn finish(self) -> Result<C> {
        match self.path {
            Path::AfterThePass(communicator) => Ok(communicator),
            Path::DuringThePass { background, .. } => background.finish(),
        }
    }
}

/// Refuses what can't be combined.
pub(super) fn validate(synchronisation: Synchronisation, compression: Option<Compression>) -> Result<()> {
    synchronisation.validate()?;
    compression.map_or(Ok(()), |compression| compression.validate())?;
    match (synchronisation, compression) {
        (Synchronisation::Overlapped { .. }, Some(compression)) => Err(Error::invalid(format!(
            "{synchronisation} can't be compressed by {compression}: it needs all gradients, and they are sent before \
             the pass ends; use Synchronisation::default() with it"
        ))),
        _ => Ok(()),
    }
}

/// Sends each bucket when the last of its gradients is there, and collects the sums after the pass.
fn overlapped<C: Communicator + Send + 'static>(
    network: &Network,
    batch: &Batch,
    background: &Background<C>,
    bytes: usize,
    share: f32,
) -> Result<(f64, Gradients)> {
    let elements: Vec<usize> = network.variables().iter().map(|(_, variable)| variable.elem_count()).collect();
    let buckets = buckets(bytes, &elements);
    let mut waiting: Vec<Option<Vec<f32>>> = vec![None; elements.len()];
    let mut begun = 0;
    let loss = Gradients::handed_over(network, batch, share, &mut |index, values| {
        waiting[index] = Some(values);
        // Bucket by bucket in the same order on all workers, whichever gradient comes first.
        while let Some(bucket) =
            buckets.get(begun).filter(|bucket| bucket.iter().all(|index| waiting[*index].is_some()))
        {
            background.begin(joined(bucket, &mut waiting))?;
            begun += 1;
        }
        Ok(())
    })?;
    let (_, gradients) = Gradients::collected(network, |ready| {
        for bucket in &buckets {
            let sum = background.next()?;
            let mut rest = sum.as_slice();
            for index in bucket {
                let (own, after) = rest.split_at(elements[*index]);
                ready(*index, own.to_vec())?;
                rest = after;
            }
        }
        Ok(())
    })?;
    Ok((loss, gradients))
}

/// The gradients of a bucket, one after the other. A lone one is not copied.
fn joined(bucket: &[usize], waiting: &mut [Option<Vec<f32>>]) -> Vec<f32> {
    let mut parts = bucket.iter().filter_map(|index| waiting[*index].take());
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.extend(part));
    all
}
