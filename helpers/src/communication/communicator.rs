//! What a parallel algorithm may ask of the other workers.

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
    /// [`crate::Error::Worker`] when another worker stopped or does not answer.
    fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<()>;

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
