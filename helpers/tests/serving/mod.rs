//! Services: each in a process of its own, asked over the loopback.

mod autoscaler;
mod chain;
mod hpa_rule;
mod scaling_replay;
mod server;
mod support;

use crate::engine::complaint;
