//! Sessions in a Redis.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisError};

use super::session_store::Expected;
use crate::error::{Error, Result};

/// So that sessions are told apart from what else is in it.
const PREFIX: &str = "onramp:session:";
/// A Redis may not be ours: a session leaves it so long after its last change.
const SECONDS_TO_LIVE: u64 = 86_400;
/// Redis does all of it before it does anything else.
const SET_WHERE_EQUAL: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) return 1 end return 0";

/// A connection to a Redis that is made again when it was lost.
pub(super) struct RedisStore {
    connection: ConnectionManager,
    /// For messages.
    address: String,
}

/// # Errors
/// [`Error::InvalidInput`] when it is no URL of a Redis.
pub(super) fn client(url: &str) -> Result<Client> {
    Client::open(url).map_err(|cause| {
        Error::invalid(format!(
            "'{}' is no URL of a Redis ({cause}); use one such as redis://127.0.0.1:6379",
            without_password(url)
        ))
    })
}

/// What may be shown of a URL: host, port, and what follows.
pub(super) fn without_password(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.rsplit_once('@').map_or(rest, |(_, place)| place)
}

impl RedisStore {
    /// It is connected by the first call. It must be made where tasks can be spawned.
    ///
    /// # Errors
    /// As for [`client`].
    pub(super) fn open(url: &str, timeout: Duration) -> Result<Self> {
        let settings = ConnectionManagerConfig::new()
            // Each call tries for itself, so that one without a Redis fails at once.
            .set_number_of_retries(0)
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let connection = ConnectionManager::new_lazy_with_config(client(url)?, settings);
        let connection = connection.map_err(|cause| Error::invalid(format!("no connection to a Redis: {cause}")))?;
        Ok(Self { connection, address: without_password(url).to_string() })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.ask(redis::cmd("GET").arg(full(key))).await
    }

    pub(super) async fn put(&self, key: &str, expected: &Expected, value: &[u8]) -> Result<bool> {
        let mut command = redis::cmd("SET");
        command.arg(full(key)).arg(value).arg("EX").arg(SECONDS_TO_LIVE);
        match expected {
            Expected::Anything => self.ask::<Option<String>>(&command).await.map(|_| true),
            Expected::Nothing => self.ask::<Option<String>>(command.arg("NX")).await.map(|done| done.is_some()),
            Expected::Value(there) => {
                let mut command = redis::cmd("EVAL");
                command.arg(SET_WHERE_EQUAL).arg(1).arg(full(key)).arg(&there[..]).arg(value).arg(SECONDS_TO_LIVE);
                self.ask::<u64>(&command).await.map(|done| done == 1)
            }
            Expected::Tagged(_) => Err(Error::invalid("a Redis knows no tags of values")),
        }
    }

    pub(super) async fn ping(&self) -> Result<()> {
        self.ask::<String>(&redis::cmd("PING")).await.map(drop)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        // The manager tells the end of its last attempt, which may be long ago, and tries again in the background. Nothing was
        // sent then, so it can be sent now.
        let answer = match answer {
            Err(cause) if RedisError::is_connection_refusal(&cause) => {
                command.query_async(&mut self.connection.clone()).await
            }
            answer => answer,
        };
        answer.map_err(|cause| Error::Service(format!("the Redis at {} did not do it ({cause})", self.address)))
    }
}

fn full(key: &str) -> String {
    format!("{PREFIX}{key}")
}
