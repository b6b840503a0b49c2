//! Services: each in a process of its own, asked over the loopback.

mod server;
mod support;

use crate::engine::complaint;
