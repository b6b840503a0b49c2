//! Reading HAProxy's own counts.

use std::collections::HashMap;

use super::configuration::{GROUP, name};
use crate::error::{Error, Result};
use crate::serving::balancer::{BackendLoad, BackendState, Balancer, BalancerLoad, Program};

/// One line of HAProxy's table, by column.
type Line<'a> = HashMap<&'a str, &'a str>;

/// Reads what `show stat` says: a table with commas, whose first line names the columns.
pub(super) fn load(balancer: &Balancer, text: &str) -> Result<BalancerLoad> {
    let mut lines = text.trim_start_matches("# ").lines().filter(|line| !line.is_empty());
    let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let lines: Vec<Line> = lines.map(|line| columns.iter().copied().zip(line.split(',')).collect()).collect();
    let group = |line: &&Line| line.get("pxname") == Some(&GROUP);
    let total = lines.iter().filter(group).find(|line| line.get("svname") == Some(&"BACKEND"));
    let total =
        total.ok_or_else(|| Error::Service(format!("HAProxy's table of counts has no line for {GROUP}: {text}")))?;
    let backends = lines.iter().filter(group).filter_map(|line| {
        // The line of a backend's number; the other lines are totals.
        let number = line.get("svname")?.strip_prefix(name(0).trim_end_matches('0'))?.parse().ok()?;
        Some(BackendLoad {
            number,
            address: line.get("addr").copied().unwrap_or_default().to_string(),
            state: state(line.get("status").copied().unwrap_or_default()),
            requests: count(line, "stot"),
            failures: count(line, "econ") + count(line, "eresp"),
            in_flight: count(line, "scur"),
            most_in_flight: count(line, "smax"),
            waiting: count(line, "qcur"),
            most_waiting: count(line, "qmax"),
        })
    });
    Ok(BalancerLoad {
        program: Program::Haproxy,
        policy: balancer.policy.clone(),
        backends: backends.collect(),
        waiting: count(total, "qcur"),
        most_waiting: count(total, "qmax"),
    })
}

fn count(line: &Line, column: &str) -> u64 {
    line.get(column).and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn state(status: &str) -> BackendState {
    match status.split(' ').next() {
        Some("UP") => BackendState::Up,
        Some("MAINT" | "DRAIN") => BackendState::Draining,
        _ => BackendState::Down,
    }
}
