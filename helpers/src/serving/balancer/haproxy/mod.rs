//! HAProxy as the balancer.
//!
//! Backends that come and go are told to the running process over its own socket (`add server`, `set server`, `del server`).
//! The alternative, a new process on a new configuration that takes over the listening socket, would start again with all
//! backends unknown and all counts at 0, at each step of an autoscaler.

mod configuration;
mod process;
mod statistics;

pub(super) use configuration::configuration;
pub(super) use process::{Haproxy, find};
