//! How workers talk: the algorithm apart from the channel it runs over.
//!
//! - [`Communicator`]: what an algorithm may ask of the others (rank, world size, all-reduce, broadcast, barrier)
//! - [`Algorithm`]: who sends which part to whom in which round (central, tree, ring)
//! - [`Team`]: workers as threads of this process, over memory or over a shaped [`Link`]
//! - [`Replay`]: the same rounds on a virtual clock, for more workers than there are cores
//! - [`Synchronisation`]: gradients averaged variable by variable, or in buckets

mod algorithm;
mod communicator;
mod endpoint;
mod link;
mod port;
mod replay;
mod synchronisation;
mod team;

pub use algorithm::{Action, Algorithm, Round, Transfer};
pub use communicator::Communicator;
pub use link::Link;
pub use replay::Replay;
pub use synchronisation::Synchronisation;
pub use team::{Team, ThreadCommunicator};
