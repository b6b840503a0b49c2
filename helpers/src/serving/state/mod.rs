//! What a service remembers of its clients between two requests: in its own memory, or in a store.
//!
//! A replica that keeps sessions itself is fast and forgets them when it dies; with a store all replicas know all sessions, for
//! two more round trips in each request, and the store becomes the thing that must not fail.
//!
//! [`State`] says where sessions are kept; a [`StateServer`] is the store of ours, a process of its own; [`SharedStore`] is the
//! store that a lesson calls: Redis where a URL is given, or the store of ours.

mod description;
mod file_store;
mod key;
mod local_redis;
mod memory_store;
mod redis_store;
mod remote_store;
mod session_store;
mod shared_store;
mod state_server;
#[cfg(test)]
mod tests;

pub use description::State;
pub use local_redis::LocalRedis;
pub use shared_store::SharedStore;
pub use state_server::StateServer;

pub(crate) use session_store::SessionStore;
