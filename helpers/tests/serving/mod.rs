//! Services: each in a process of its own, asked over the loopback.

mod backends;
mod balancer;
mod balancer_faults;
mod deployment;
mod server;
mod state;
mod support;

use crate::engine::complaint;

mod cascade;
mod drift;
mod feedback;
mod in_service;
mod neighbours;
