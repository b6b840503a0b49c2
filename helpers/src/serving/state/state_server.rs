//! The store of ours as a service: sessions over HTTP.
//!
//! `GET /state/{key}` gives a value, or 404. `PUT /state/{key}` keeps one; with `If-None-Match: *` only where there is none,
//! with `If-Match` only in place of the value that this `ETag` belongs to, and answers 412 where it did not. `GET /health` and
//! `GET /ready` say that it lives and can be asked.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Shared};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::file_store::FileStore;
use super::key::{LONGEST_VALUE_BYTES, check_key};
use super::remote_store::tag;
use super::session_store::Expected;
use crate::error::Result;
use crate::serving::http::{ConnectionLimits, Prepared, Problem, whole_body};
use crate::serving::listener::{Listener, listener_setters};
use crate::serving::service::{Service, ServiceProcess};
use crate::serving::stop::Stop;

/// A store that several replicas share: a process of its own, on the embedded database redb.
///
/// Without a file it keeps all in its memory, and a new one begins empty. With a file each answered write is on the disk
/// (fsync), so it outlives the death of the process and of the machine; a write that was not answered is there as a whole or
/// not at all.
///
/// ```no_run
/// use onramp::serving::{State, StateServer};
///
/// let store = StateServer::new().start()?;
/// let state = State::server(store.address()).round_trip(0.001);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateServer {
    path: Option<PathBuf>,
    pub(crate) listener: Listener,
}

impl Default for StateServer {
    fn default() -> Self {
        Self::new()
    }
}

impl StateServer {
    /// In memory, on any free port of this machine alone.
    pub fn new() -> Self {
        Self { path: None, listener: Listener::default() }
    }

    /// Keeps sessions in this file.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    listener_setters!();

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// As for [`Service::start`].
    pub fn start(&self) -> Result<ServiceProcess> {
        Service::StateServer(self.clone()).start()
    }

    pub(crate) async fn prepare(self, _stop: Stop) -> Result<Prepared> {
        let limits = ConnectionLimits { body_bytes: LONGEST_VALUE_BYTES, ..ConnectionLimits::default() };
        let store = match &self.path {
            Some(path) => FileStore::open(path)?,
            None => FileStore::in_memory()?,
        };
        let router = Router::new()
            .route("/state/{key}", get(read).put(write))
            .route("/health", get(async || "lives\n"))
            .route("/ready", get(ready))
            .with_state(Arc::new(Stored { store, limits }));
        Ok(Prepared { router, limits })
    }
}

struct Stored {
    store: FileStore,
    limits: ConnectionLimits,
}

async fn ready(Shared(stored): Shared<Arc<Stored>>) -> Result<&'static str, Problem> {
    stored.store.get("ready").await.map(|_| "ready\n").map_err(Problem::from)
}

async fn read(
    Shared(stored): Shared<Arc<Stored>>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let key = checked(key)?;
    match stored.store.get(&key).await? {
        Some(value) => {
            Ok(([(ETAG, tag(&value)), (CONTENT_TYPE, "application/octet-stream".to_string())], value).into_response())
        }
        None => Err(Problem::new(StatusCode::NOT_FOUND, format!("nothing is kept for the session '{key}'"))),
    }
}

async fn write(
    Shared(stored): Shared<Arc<Stored>>,
    key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = checked(key)?;
    let expected = expected(&headers)?;
    let value = whole_body(body, &stored.limits).await.map_err(|problem| match problem.status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            problem.status,
            format!("more than {LONGEST_VALUE_BYTES} bytes can't be kept for a session; keep less of it"),
        ),
        _ => problem,
    })?;
    if stored.store.put(&key, expected, &value).await? {
        return Ok((StatusCode::NO_CONTENT, [(ETAG, tag(&value))]).into_response());
    }
    Err(Problem::new(
        StatusCode::PRECONDITION_FAILED,
        format!("the session '{key}' was changed meanwhile; get it again"),
    ))
}

fn checked(key: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(key) = key.map_err(|cause| Problem::bad_request(format!("this is no session's name: {cause}")))?;
    check_key(&key)?;
    Ok(key)
}

fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (None, None) => Ok(Expected::Anything),
        (None, Some("*")) => Ok(Expected::Nothing),
        (Some(tag), None) if tag.starts_with('"') && tag.ends_with('"') => Ok(Expected::Tagged(tag.to_string())),
        _ => Err(Problem::bad_request("send at most one of If-None-Match: * and If-Match with one ETag in quotes")),
    }
}
