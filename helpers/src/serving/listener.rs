//! Where a service listens, and whom it lets in.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::error::{Error, Result};

/// The address at which a service listens, and the token that it wants to be shown there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(crate) address: String,
    pub(crate) token: Option<String>,
}

impl Default for Listener {
    /// Any free port of this machine alone, for everybody.
    fn default() -> Self {
        Self { address: "127.0.0.1:0".to_string(), token: None }
    }
}

impl Listener {
    /// The address as a value.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for something else than address and port, for an address that others reach without a token
    /// that they need, and for a token that nobody can send.
    pub(crate) fn check(&self) -> Result<SocketAddr> {
        let address: SocketAddr = self.address.parse().map_err(|_| {
            Error::invalid(format!(
                "'{}' is no address to listen at; use one such as 127.0.0.1:8080 (port 0: any)",
                self.address
            ))
        })?;
        if !address.ip().is_loopback() && self.token.as_deref().is_none_or(str::is_empty) {
            return Err(Error::invalid(format!(
                "{address} is reached from other machines, and a service needs a token there; add .token(\"a secret\"), or \
                 listen at 127.0.0.1"
            )));
        }
        let can_be_sent = |token: &str| !token.is_empty() && token.trim() == token && token.bytes().all(is_plain);
        if self.token.as_deref().is_some_and(|token| !can_be_sent(token)) {
            return Err(Error::invalid(
                "a token must be letters, digits, signs of ASCII, and spaces between them; nobody could send this one in a \
                 header",
            ));
        }
        Ok(address)
    }

    /// Listens.
    ///
    /// # Errors
    /// As for [`Listener::check`]; [`Error::Io`] when the port is taken.
    pub(crate) async fn bind(&self) -> Result<TcpListener> {
        let address = self.check()?;
        TcpListener::bind(address).await.map_err(|cause| Error::io(format!("listening at {address}"), cause))
    }
}

fn is_plain(letter: u8) -> bool {
    letter == b' ' || letter.is_ascii_graphic()
}

/// The setters of every description of a service, for its field `listener`.
macro_rules! listener_setters {
    () => {
        /// Where it listens: address and port, 0 for any that is free. Any free port of this machine alone unless this is
        /// called; beyond this machine it needs a token.
        pub fn listen(mut self, address: impl Into<String>) -> Self {
            self.listener.address = address.into();
            self
        }

        /// What clients must send as `Authorization: Bearer …`.
        pub fn token(mut self, token: impl Into<String>) -> Self {
            self.listener.token = Some(token.into());
            self
        }
    };
}

pub(crate) use listener_setters;
