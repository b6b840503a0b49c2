//! What a parallel algorithm may ask of the other workers.

use std::ops::Range;

use super::chunk;
use crate::error::Result;

/// One worker's connection to all the others.
///
/// All workers must make the same collective calls in the same order; what one sends to another must be received there,
/// in the order in which it was sent. A collective call may wait for others even where this worker only sends, because
/// they read its numbers where they are. The names are those of MPI.
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

    /// One all-reduce over several lists, as if they stood one after the other in a single one.
    ///
    /// # Errors
    /// As for [`Communicator::all_reduce_sum`].
    fn all_reduce_sum_coalesced(&mut self, lists: &mut [&mut [f32]]) -> Result<()>;

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

    /// Gives each other worker its own bytes: `messages[r]` goes to worker r, and what it sent to this one comes back in
    /// place r. The message to oneself comes back as it is. Lengths may differ.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] as for [`Communicator::all_reduce_sum`]; [`crate::Error::InvalidInput`] when there is
    /// not one message for each worker.
    fn all_to_all_bytes(&mut self, messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>>;

    /// Gives all workers the bytes of each, in order of ranks. Lengths may differ.
    ///
    /// # Errors
    /// As for [`Communicator::all_to_all_bytes`].
    fn all_gather_bytes(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.all_to_all_bytes(vec![own.to_vec(); self.world_size()])
    }

    /// Sends a copy of `values` to one worker, and goes on at once.
    ///
    /// # Errors
    /// [`crate::Error::Worker`] as for [`Communicator::all_reduce_sum`]; [`crate::Error::InvalidInput`] when there is
    /// no such worker, or it is this one.
    fn send(&mut self, to: usize, values: &[f32]) -> Result<()>;

    /// Waits for the next message of one worker, which must be as long as `values`, and replaces them by it.
    ///
    /// # Errors
    /// As for [`Communicator::send`], and [`crate::Error::Worker`] when the message has another length.
    fn receive(&mut self, from: usize, values: &mut [f32]) -> Result<()>;

    /// The same from whichever worker's message arrives first, and says whose it was.
    ///
    /// # Errors
    /// As for [`Communicator::receive`].
    fn receive_from_any(&mut self, values: &mut [f32]) -> Result<usize>;

    /// Bytes that this worker has sent so far.
    fn bytes_sent(&self) -> u64;
}
