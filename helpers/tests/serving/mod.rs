//! Services: each in a process of its own, asked over the loopback.

mod server;
mod state;
mod support;

use crate::engine::complaint;
