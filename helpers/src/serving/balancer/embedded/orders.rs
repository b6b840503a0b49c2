//! Orders to the embedded balancer: a line of JSON each, over a socket in a folder that only this user can enter.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

use super::pool::Pool;
use crate::error::{Error, Result};
use crate::serving::balancer::BalancerLoad;
use crate::serving::http::AFTER_FAILED_ACCEPT;

/// What the balancer can be told. Every order is answered with the counts after it, or with what was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// A new backend, or a paused one that comes back.
    Put { number: usize, address: String },
    /// Nothing more goes to it.
    Pause { number: usize },
    /// It is forgotten.
    Remove { number: usize },
    /// Nothing but the counts.
    Load,
}

/// The answer to an order.
pub(super) type Answer = Result<BalancerLoad, String>;

impl Order {
    fn follow(self, pool: &Arc<Pool>) -> Answer {
        let done = match self {
            Self::Put { number, address } => {
                pool.put(number, &address);
                Ok(())
            }
            Self::Pause { number } => pool.pause(number),
            Self::Remove { number } => pool.remove(number),
            Self::Load => Ok(()),
        };
        done.map(|()| pool.load()).map_err(|error| error.to_string())
    }
}

/// Follows orders for as long as the process lives.
pub(super) fn take(socket: &Path, pool: Arc<Pool>) -> Result<()> {
    let listener = UnixListener::bind(socket)
        .map_err(|cause| Error::io(format!("listening at the balancer's socket {}", socket.display()), cause))?;
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    warn!("an order could not be accepted: {cause}");
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                    continue;
                }
            };
            let pool = pool.clone();
            tokio::spawn(async move {
                if let Err(cause) = converse(stream, &pool).await {
                    warn!("an order broke off: {cause}");
                }
            });
        }
    });
    Ok(())
}

async fn converse(mut stream: UnixStream, pool: &Arc<Pool>) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => order.follow(pool),
        Err(cause) => Err(format!("'{}' is no order to a balancer: {cause}", line.trim())),
    };
    stream.write_all(serde_json::to_string(&answer)?.as_bytes()).await
}
