//! Services: each in a process of its own, asked over the loopback.

mod autoscaler;
mod backends;
mod balancer;
mod balancer_faults;
mod cascade;
mod chain;
mod deployment;
mod drift;
mod feedback;
mod hpa_rule;
mod in_service;
mod neighbours;
mod scaling_replay;
mod server;
mod sessions;
mod state;
mod support;

use crate::engine::complaint;
