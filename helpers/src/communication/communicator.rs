//! What a parallel algorithm may ask of the other workers.

use std::ops::Range;

use super::chunk;
use crate::error::Result;

/// One worker's connection to all the others.
///
/// All workers must make the same calls in the same order. The names are those of MPI.
pub trait Communicator {
    /// This worker's number, from 0.
    fn rank(&self) -> usize;

    /// How many workers there are.
    fn world_size(&self) -> usize;

    /// Replaces `values` by the sum over all workers, element by element. All workers end with the same bits.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] when another worker stopped, does not answer or makes another call;
    /// [`crate::Error::Interrupted`] when the run was asked to stop.
    fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<()>;

    /// The part of `elements` numbers that this worker owns in [`Communicator::reduce_scatter_sum`] and
    /// [`Communicator::all_gather`].
    fn chunk(&self, elements: usize) -> Range<usize> {
        chunk(self.rank(), self.world_size(), elements)
    }

    /// Replaces this worker's chunk of `values` by its sum over all workers, and says which elements that is.
    ///
    /// The other elements are left with sums over some of the workers, which are of no use.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] as for [`Communicator::all_reduce_sum`].
    fn reduce_scatter_sum(&mut self, values: &mut [f32]) -> Result<Range<usize>>;

    /// Replaces each chunk of `values` by that of the worker that owns it. All workers end with the same bits.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] as for [`Communicator::all_reduce_sum`].
    fn all_gather(&mut self, values: &mut [f32]) -> Result<()>;

    /// Replaces `values` by those of the worker `root`.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] as for [`Communicator::all_reduce_sum`]; [`crate::Error::InvalidInput`] when there
    /// is no such worker.
    fn broadcast(&mut self, values: &mut [f32], root: usize) -> Result<()>;

    /// Waits until all workers have come this far.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] as for [`Communicator::all_reduce_sum`].
    fn barrier(&mut self) -> Result<()>;
}
