//! A served model under load, beside FastAPI.

use anyhow::Result;
use serde_json::Value;

use super::peer::{answer, environment};
use super::report::Row;
use crate::process::clean_command;
use crate::setup;
use crate::workspace::Workspace;

/// The rows that `onramp-worker --serving-benchmark` prints.
///
/// # Errors
/// When the peer cannot be installed, or a run fails.
pub fn serving(workspace: &Workspace) -> Result<Vec<Row>> {
    setup::run(workspace)?;
    let python = environment(workspace, "fastapi", "FastAPI and PyTorch for the benchmark, once")?;
    let mut command = clean_command(workspace.worker_program());
    command.arg("--serving-benchmark").arg("--peer").arg(python).arg(workspace.source("tests/bench/fastapi_server.py"));
    answer(command, &Value::Null)
}
