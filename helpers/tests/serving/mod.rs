//! Services: each in a process of its own, asked over the loopback.

mod backends;
mod balancer;
mod balancer_faults;
mod deployment;
mod autoscaler;
mod chain;
mod hpa_rule;
mod scaling_replay;
mod server;
mod sessions;
mod state;
mod support;

use crate::engine::complaint;

mod cascade;
mod drift;
mod feedback;
mod in_service;
mod neighbours;
