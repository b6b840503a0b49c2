//! Reading HAProxy's own counts.

use std::collections::HashMap;

use super::configuration::{GROUP, name};
use crate::error::{Error, Result};
use crate::serving::balancer::{BackendLoad, BackendState, Balancer, BalancerLoad, Program};

/// One line of HAProxy's table, by column.
type Line<'a> = HashMap<&'a str, &'a str>;

/// Reads what `show stat` says: a table with commas, whose first line names the columns.
pub(super) fn load(balancer: &Balancer, text: &str) -> Result<BalancerLoad> {
    let lines = lines(text);
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

/// Requests that clients have sent and that are not answered, wherever they are: in the entrance, waiting, or at a backend.
pub(super) fn unfinished(text: &str) -> u64 {
    let lines = lines(text);
    let Some(entrance) = lines.iter().find(|line| line.get("svname") == Some(&"FRONTEND")) else { return 0 };
    let answered = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
    let answered: u64 = answered.iter().map(|column| count(entrance, column)).sum();
    count(entrance, "req_tot").saturating_sub(answered)
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = text.trim_start_matches("# ").lines().filter(|line| !line.is_empty());
    let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    lines.map(|line| columns.iter().copied().zip(line.split(',')).collect()).collect()
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
