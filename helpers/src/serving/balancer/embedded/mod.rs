//! The balancer that is used where HAProxy is not installed: a service of this library, on axum and tower.
//!
//! - `pool`: the backends, their health, and which of them a request goes to; `ring` for consistent hashing
//! - `endpoint`: one exchange with one backend, as a tower service
//! - `forward`: from a client's request to its answer, retries included
//! - `orders`: backends that are added and removed while it runs

mod backend;
mod endpoint;
mod forward;
mod health;
mod orders;
mod pool;
mod process;
mod ring;
mod service;

pub(super) use process::Embedded;
