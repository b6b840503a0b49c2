//! What a hop answers, and how it fails.

use axum::http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};

use crate::serving::http::Problem;

/// The number of a call. A hop does the work of a call once, even when it is asked twice.
pub(super) const CALL: HeaderName = HeaderName::from_static("x-call");
/// Which copy of a call it is: 1, or 2 for the hedge.
pub(super) const COPY: HeaderName = HeaderName::from_static("x-copy");
/// Where a hop is called.
pub(super) const PATH: &str = "/call";

/// The answer of a chain, or of a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainAnswer {
    /// The hops that worked for it, the first one first.
    pub visits: Vec<Visit>,
    /// Optional hops that could not be reached, or were too late: their part is not in the answer, nor what lies behind them.
    pub missing: Vec<String>,
}

/// What a hop tells of its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The hop's name.
    pub hop: String,
    /// Which copy of the call was answered first: 1, or 2 for the hedge.
    pub copy: u64,
    /// Milliseconds that were left when the call came.
    pub deadline_ms: u64,
    /// Whether it stalled.
    pub stalled: bool,
}

/// A call that was not answered.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// 504 when it was too late, otherwise 502.
    pub(super) status: StatusCode,
    /// Names the hop.
    pub(super) text: String,
    /// The hop that was called is to blame, not one behind it.
    pub(super) own: bool,
}

impl Failure {
    pub(super) fn broken(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, text: text.into(), own: true }
    }

    pub(super) fn late(text: impl Into<String>) -> Self {
        Self { status: StatusCode::GATEWAY_TIMEOUT, text: text.into(), own: true }
    }

    pub(super) fn problem(&self) -> Problem {
        Problem::new(self.status, self.text.clone())
    }
}
