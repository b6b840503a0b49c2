//! Which address a load goes to.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Error, Result};

/// How long the first connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// For the header `host`.
    pub(super) host: String,
    /// The path of the URL, if it has one.
    pub(super) path: Option<String>,
}

impl Target {
    /// Reads `http://host:port/path` or `host:port`.
    pub(super) fn parse(text: &str, beyond_this_machine: bool) -> Result<Self> {
        let refused = |reason: &str| Error::invalid(format!("'{text}' is no address of a service: {reason}"));
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => {
                return Err(refused(&format!("{scheme} is not spoken here; use http://, or host:port alone")));
            }
            None => text,
        };
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].to_string())),
            None => (rest, None),
        };
        let host = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            host.to_string()
        } else if text.contains("://") && !host.is_empty() {
            format!("{host}:80")
        } else {
            return Err(refused("it has no port; write it as 127.0.0.1:8080"));
        };
        let mut addresses =
            host.to_socket_addrs().map_err(|cause| refused(&format!("{cause}; write it as 127.0.0.1:8080")))?;
        let address = addresses.next().ok_or_else(|| refused("the name belongs to no address"))?;
        if !address.ip().is_loopback() && !beyond_this_machine {
            return Err(Error::invalid(format!(
                "{address} is not on this machine. A load can bring down a service that others use: use an address such as \
                 127.0.0.1, or say .beyond_this_machine() if the service is yours and meant to be loaded"
            )));
        }
        Ok(Self { address, host, path: path.filter(|path| path != "/") })
    }

    /// Tries whether anything listens there.
    pub(super) fn check(&self) -> Result<()> {
        TcpStream::connect_timeout(&self.address, CONNECT_TIME).map(drop).map_err(|cause| {
            Error::Worker(format!(
                "nothing answers at {} ({cause}); start the service first, and use the address that it says",
                self.address
            ))
        })
    }
}
