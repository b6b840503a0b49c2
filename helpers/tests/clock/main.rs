//! Tests that look at the clock. They are a program of their own, and take turns, so that no other test is on their cores;
//! what else the machine does they can't know, so they compare with wide margins and try again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should say so and stop")]

mod data_parallel;
mod link;
mod load;
mod queue;
mod real_threads;
mod search;
#[path = "../load/services.rs"]
mod services;
mod stages;
#[path = "../engine/support.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use support::{complaint, guess};

/// Held by the test that runs.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has nothing to leave behind.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
