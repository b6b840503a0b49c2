//! How workers talk: the algorithm apart from the channel it runs over.
//!
//! - [`Communicator`]: what an algorithm may ask of the others (rank, world size, all-reduce and its
//!   two halves, broadcast, barrier)
//! - [`Algorithm`]: who sends which part to whom in which round (central, tree, ring)
//! - [`Collective`]: everything that workers do together, as rounds, with its time
//! - [`Team`]: workers as threads of this process, over memory or over a shaped [`Link`]
//! - [`Replay`]: the same rounds on a virtual clock, for more workers than there are cores
//! - [`Synchronisation`]: gradients averaged variable by variable, or in buckets

mod algorithm;
mod collective;
mod communicator;
mod endpoint;
mod link;
mod loan;
mod pieces;
mod port;
mod replay;
mod synchronisation;
mod team;
mod thread;
mod watch;

pub use algorithm::{Action, Algorithm, Round, Transfer, chunk};
pub use collective::Collective;
pub use communicator::Communicator;
pub use link::Link;
pub use replay::Replay;
pub use synchronisation::Synchronisation;
pub(crate) use synchronisation::buckets;
pub use team::Team;
pub use thread::ThreadCommunicator;
