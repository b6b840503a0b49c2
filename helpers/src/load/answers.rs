//! What became of a request: an answer of some kind, or none.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of answer a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerClass {
    /// A status of 2xx.
    Success,
    /// A status of 3xx (or 1xx), which nobody follows here.
    Redirection,
    /// A status of 4xx: the service refused, for example with 429 because it had too much to do.
    Refusal,
    /// A status of 5xx: the service could not.
    ServerError,
    /// No answer: a [`Failure`].
    None,
}

impl AnswerClass {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Success, Self::Redirection, Self::Refusal, Self::ServerError, Self::None];

    pub(super) fn of(status: u16) -> Self {
        match status / 100 {
            2 => Self::Success,
            4 => Self::Refusal,
            5.. => Self::ServerError,
            _ => Self::Redirection,
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer did.
    Cut,
    /// What came was not HTTP.
    Garbage,
    /// The answer was not there in time.
    Timeout,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Cut => "connection cut",
            Self::Garbage => "garbage",
            Self::Timeout => "timeout",
        })
    }
}

/// How often a service said when to come back (the header Retry-After).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryAfter {
    /// Answers that said it.
    pub answers: u64,
    /// The fewest seconds among them.
    pub least: u64,
    /// The most seconds among them.
    pub most: u64,
}
