//! Which backend a request goes to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The rule by which a balancer chooses a backend for a request.
///
/// Only backends whose health checks succeed are chosen from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The backend with the fewest requests under way. HAProxy compares all of them; the embedded balancer compares two
    /// chosen at random, which is nearly as good (Mitzenmacher 2001, "The power of two choices").
    LeastConnections,
    /// The same value of a request header always goes to the same backend. When one of n backends goes, only its own keys,
    /// about 1/n of them, move, and they come back with it (Karger and others 1997, "Consistent hashing"). Requests without
    /// the header go round robin.
    ConsistentHash {
        /// The header's name.
        header: String,
    },
    /// The first request of a session goes round robin, all later ones to the same backend. When that backend is down or
    /// gone, the session's next request goes to another one and the session stays there, even when the former backend comes
    /// back: what that one kept in its memory for the session is lost. A session that is not seen for 30 minutes is
    /// forgotten. Requests without a session go round robin.
    Sticky {
        /// Where the session's name stands.
        session: SessionId,
    },
}

/// Where a request says to which session it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionId {
    /// In the header of this name.
    Header(String),
    /// In the cookie of this name.
    Cookie(String),
}

impl Policy {
    /// The same value of this header goes to the same backend.
    pub fn consistent_hash(header: impl Into<String>) -> Self {
        Self::ConsistentHash { header: header.into() }
    }

    /// Sessions stay at their backend; a session's name is the value of this header.
    pub fn sticky(header: impl Into<String>) -> Self {
        Self::Sticky { session: SessionId::Header(header.into()) }
    }

    /// Sessions stay at their backend; a session's name is the value of this cookie.
    pub fn sticky_cookie(cookie: impl Into<String>) -> Self {
        Self::Sticky { session: SessionId::Cookie(cookie.into()) }
    }

    /// Names become part of a configuration file, so they must be plain.
    pub(super) fn check(&self) -> Result<()> {
        let (what, name) = match self {
            Self::RoundRobin | Self::LeastConnections => return Ok(()),
            Self::ConsistentHash { header } => ("header", header),
            Self::Sticky { session: SessionId::Header(name) } => ("header", name),
            Self::Sticky { session: SessionId::Cookie(name) } => ("cookie", name),
        };
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Error::invalid(format!(
                "'{name}' is no name of a {what} to balance by; use letters, digits, '-' and '_', such as x-session"
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round robin"),
            Self::LeastConnections => f.write_str("least connections"),
            Self::ConsistentHash { header } => write!(f, "consistent hash of header {header}"),
            Self::Sticky { session: SessionId::Header(name) } => write!(f, "sticky sessions by header {name}"),
            Self::Sticky { session: SessionId::Cookie(name) } => write!(f, "sticky sessions by cookie {name}"),
        }
    }
}
