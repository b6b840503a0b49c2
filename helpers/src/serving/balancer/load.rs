//! What a balancer's backends had and have to do.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Policy, Program};
use crate::display::{Table, significant};

/// The counts of one backend, since it was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendLoad {
    /// Its number, from 0.
    pub number: usize,
    /// Where it listens.
    pub address: String,
    /// Whether it gets requests.
    pub state: BackendState,
    /// Requests that were sent to it, those that were sent again included.
    pub requests: u64,
    /// Requests of these that it did not answer: nothing listened, or the connection broke, or what came was no HTTP.
    pub failures: u64,
    /// Requests that it has now.
    pub in_flight: u64,
    /// The most that it had at once.
    pub most_in_flight: u64,
    /// Requests that wait in the balancer for this backend.
    pub waiting: u64,
    /// The most that waited for it at once.
    pub most_waiting: u64,
}

/// Whether a backend gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// It does.
    Up,
    /// Its health checks fail, or a connection to it just did.
    Down,
    /// It finishes what it has and gets nothing new.
    Draining,
}

/// The counts of a balancer's backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerLoad {
    /// The program that balanced.
    pub program: Program,
    /// The rule that it went by.
    pub policy: Policy,
    /// In the order of their numbers.
    pub backends: Vec<BackendLoad>,
    /// Requests that wait for whichever backend becomes free first.
    pub waiting: u64,
    /// The most that waited so at once.
    pub most_waiting: u64,
}

impl BackendLoad {
    /// Requests that it has now, and that wait for it.
    pub(in crate::serving) fn unfinished(&self) -> u64 {
        self.in_flight + self.waiting
    }
}

impl BalancerLoad {
    /// Requests sent to each backend, in the order of their numbers.
    pub fn requests(&self) -> Vec<u64> {
        self.backends.iter().map(|backend| backend.requests).collect()
    }

    /// The most requests that any backend got, over the mean of all: 1 when they are spread evenly, n when one of n got all.
    /// It is not a number before the first request.
    pub fn max_over_mean(&self) -> f64 {
        let requests = self.requests();
        let most = requests.iter().max().copied().unwrap_or(0);
        most as f64 * requests.len() as f64 / requests.iter().sum::<u64>() as f64
    }

    /// A row for each backend.
    pub fn table(&self) -> Table {
        let columns = [
            "backend",
            "address",
            "state",
            "requests",
            "failures",
            "in flight",
            "most in flight",
            "waiting",
            "most waiting",
        ];
        let title = format!("Requests by {}, balanced by {}", self.policy, self.program);
        let table = self.backends.iter().fold(Table::new(title, columns), |table, backend| {
            let counts = [
                backend.requests,
                backend.failures,
                backend.in_flight,
                backend.most_in_flight,
                backend.waiting,
                backend.most_waiting,
            ];
            let names = [backend.number.to_string(), backend.address.clone(), backend.state.to_string()];
            table.row(names.into_iter().chain(counts.iter().map(u64::to_string)))
        });
        table.note(format!(
            "Counted by the balancer. The most over the mean: {}. For whichever is free first, {} wait; at most {} did.",
            significant(self.max_over_mean()),
            self.waiting,
            self.most_waiting
        ))
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Draining => "draining",
        })
    }
}
