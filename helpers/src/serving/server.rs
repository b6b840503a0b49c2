//! The prediction server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::batcher::{Batcher, Batching, Refusal};
use super::cache::Cache;
use super::http::{ConnectionLimits, DEADLINE, Prepared, Problem, whole_body};
use super::listener::{Listener, listener_setters};
use super::metrics::{self, Metrics};
use super::response_cache::{Key, ResponseCache, Served as Answered, Source};
use super::service::{Service, ServiceProcess};
use super::service_time::ServiceTime;
use super::state::{SessionStore, State};
use super::stop::Stop;
use super::wire::{Format, Rows};
use super::work::{Scores, Served, Work};
use crate::error::{Error, Result};
use crate::model::Model;

/// Of the parameters that gave the answer.
const VERSION: HeaderName = HeaderName::from_static("x-version");
/// That a client may ask for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);
/// Where the answer came from, where there is a cache: hit, miss, or coalesced with another request for the same rows.
const CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Milliseconds since a kept answer was computed.
const CACHE_AGE: HeaderName = HeaderName::from_static("x-cache-age-ms");
const PREDICT: &str = "/predict";
const SESSION: &str = "/session";

/// A prediction server: a model behind a queue, asked over HTTP.
///
/// It answers `POST /predict` with the most probable class of each row and the probabilities of all. The body is JSON,
/// `{"rows": [[…], …]}`, or a safetensors file with the F32 tensor `rows`; the answer is of the same kind. `PUT /parameters`
/// takes a safetensors file of other parameters, `POST /session/NAME` counts a session's requests, and `GET /health`, `/ready` and
/// `/metrics` tell how it is.
///
/// ```no_run
/// use onramp::prelude::*;
///
/// let server = Server::new(Mlp::new(256)).batch_cap(64).start()?;
/// println!("POST rows to {}/predict", server.url());
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    served: Served,
    parameters: Option<PathBuf>,
    threads: usize,
    batch_cap: usize,
    batch_wait_seconds: f64,
    queue_bound: usize,
    deadline_seconds: f64,
    longest_body_bytes: usize,
    body_seconds: f64,
    connections: usize,
    cache: Option<Cache>,
    state: State,
    pub(crate) listener: Listener,
}

/// What the handlers share.
struct Serving {
    work: Arc<Work>,
    columns: Option<usize>,
    batcher: Batcher,
    metrics: Metrics,
    cache: Option<ResponseCache<Scores, Refusal>>,
    sessions: SessionStore,
    limits: ConnectionLimits,
    deadline: Duration,
    stop: Stop,
}

impl Server {
    /// Serves this model, with parameters drawn from seed 0.
    pub fn new(model: impl Into<Model>) -> Self {
        Self::of(Served::Model { model: model.into(), seed: 0 })
    }

    /// Serves no model: each batch takes a wait, so that many replicas can run on few cores. What is timed with it is
    /// *emulated*.
    pub fn timed(time: ServiceTime) -> Self {
        Self::of(Served::Timed { time })
    }

    /// Whether waits stand in the place of a model.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.served, Served::Timed { .. })
    }

    fn of(served: Served) -> Self {
        Self {
            served,
            parameters: None,
            threads: 1,
            batch_cap: 1,
            batch_wait_seconds: 0.0,
            queue_bound: 256,
            deadline_seconds: 1.0,
            longest_body_bytes: 8 << 20,
            body_seconds: 10.0,
            connections: 4096,
            cache: None,
            state: State::memory(),
            listener: Listener::default(),
        }
    }

    /// The model's parameters from a safetensors file, such as a [`Checkpoint`](crate::training::Checkpoint)'s.
    pub fn parameters(mut self, path: impl Into<PathBuf>) -> Self {
        self.parameters = Some(path.into());
        self
    }

    /// Threads that share the work of a batch.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Rows that the model computes at once, at most (dynamic batching); a single request may have more.
    pub fn batch_cap(mut self, rows: usize) -> Self {
        self.batch_cap = rows;
        self
    }

    /// Seconds that a request waits for others to share its batch, when there are fewer rows than the cap.
    pub fn batch_wait(mut self, seconds: f64) -> Self {
        self.batch_wait_seconds = seconds;
        self
    }

    /// Requests that wait at most; others are refused with 429 and Retry-After.
    pub fn queue_bound(mut self, requests: usize) -> Self {
        self.queue_bound = requests;
        self
    }

    /// Seconds after which an answer is of no use, unless a request says otherwise in its header `x-deadline-ms`: it is
    /// answered with 504, and what has not begun is not done.
    pub fn deadline(mut self, seconds: f64) -> Self {
        self.deadline_seconds = seconds;
        self
    }

    /// Bytes of a request's body at most; others are refused with 413.
    pub fn longest_body(mut self, bytes: usize) -> Self {
        self.longest_body_bytes = bytes;
        self
    }

    /// Seconds within which all of a request's headers, and then all of its body, must be there.
    pub fn slowest_sender(mut self, seconds: f64) -> Self {
        self.body_seconds = seconds;
        self
    }

    /// Connections that are open at once; others wait until one closes.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Keeps answers, so that the same rows are not computed again.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Where it keeps its sessions; in its own memory without this.
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    listener_setters!();

    /// Starts it in a process of its own.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense, and whatever [`Service::start`] returns.
    pub fn start(&self) -> Result<ServiceProcess> {
        self.validate()?;
        Service::Server(self.clone()).start()
    }

    /// The same with all of its threads tied to one core.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub fn start_on_core(&self, core: usize) -> Result<ServiceProcess> {
        self.validate()?;
        Service::Server(self.clone()).start_on_core(core)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.cache.as_ref().map_or(Ok(()), Cache::validate)?;
        let counts = [self.threads, self.batch_cap, self.queue_bound, self.longest_body_bytes, self.connections];
        if counts.contains(&0) {
            return Err(Error::invalid(format!(
                "a server with {} threads, {} rows in a batch, {} requests in its queue, bodies of {} bytes and {} \
                 connections does nothing; use at least 1 of each",
                self.threads, self.batch_cap, self.queue_bound, self.longest_body_bytes, self.connections
            )));
        }
        let sensible = |seconds: f64| seconds.is_finite() && (0.0..=3600.0).contains(&seconds);
        let times = [self.batch_wait_seconds, self.deadline_seconds, self.body_seconds];
        if !times.into_iter().all(sensible) || self.deadline_seconds == 0.0 || self.body_seconds == 0.0 {
            return Err(Error::invalid(format!(
                "a server can't wait {} s for a batch, {} s for an answer and {} s for a sender; use seconds above 0, up to \
                 3600 (the wait for a batch may be 0)",
                self.batch_wait_seconds, self.deadline_seconds, self.body_seconds
            )));
        }
        Ok(())
    }

    pub(crate) async fn prepare(self, stop: Stop) -> Result<Prepared> {
        self.validate()?;
        let work = Arc::new(self.served.start()?);
        if let Some(path) = &self.parameters {
            work.load(path)?;
        }
        let metrics = Metrics::new();
        let watch = {
            let metrics = metrics.clone();
            move |batch| metrics.batch(batch)
        };
        let batching = Batching {
            cap: self.batch_cap,
            wait: Duration::from_secs_f64(self.batch_wait_seconds),
            queue_bound: self.queue_bound,
        };
        let sender = Duration::from_secs_f64(self.body_seconds);
        let limits = ConnectionLimits {
            connections: self.connections,
            header: sender,
            body: sender,
            body_bytes: self.longest_body_bytes,
            ..ConnectionLimits::default()
        };
        let serving = Arc::new(Serving {
            columns: self.served.columns(),
            batcher: Batcher::start(work.clone(), self.threads, batching, watch)?,
            work,
            metrics,
            cache: self.cache.as_ref().map(ResponseCache::new).transpose()?,
            sessions: self.state.open().await?,
            limits,
            deadline: Duration::from_secs_f64(self.deadline_seconds),
            stop,
        });
        let router = Router::new()
            .route(PREDICT, post(predict))
            .route(&format!("{SESSION}/{{name}}"), post(count_session))
            .route("/parameters", put(replace_parameters))
            .route("/health", get(async || "lives\n"))
            .route("/ready", get(ready))
            .route("/ready/sessions", get(sessions_ready))
            .route("/metrics", get(show_metrics))
            .with_state(serving);
        Ok(Prepared { router, limits })
    }
}

async fn predict(extract::State(serving): extract::State<Arc<Serving>>, request: Request) -> Response {
    let start = Instant::now();
    let response = serving.predict(request, start).await.unwrap_or_else(IntoResponse::into_response);
    serving.metrics.answered(PREDICT, response.status().as_u16(), start.elapsed().as_secs_f64());
    response
}

impl Serving {
    async fn predict(self: &Arc<Self>, request: Request, start: Instant) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        let format = Format::of(&head.headers)?;
        let deadline = start + self.deadline_of(&head.headers)?;
        let body = whole_body(body, &self.limits).await?;
        // Before the body is looked at: what will be refused should cost little. A cache may know the answer.
        if self.cache.is_none() {
            self.batcher.would_take().map_err(problem)?;
        }
        let rows = format.read(&body, self.columns)?;
        drop(body);
        let columns = rows.values.len() / rows.count;
        let (scores, found) = match &self.cache {
            None => (self.compute(rows, deadline).await.map_err(problem)?, None),
            Some(cache) => {
                let key = Key::of("", columns, &rows.values);
                // Others may come to wait for it later; when nobody does any more, it is given up.
                let (serving, patience) = (self.clone(), start + LONGEST_DEADLINE);
                let found = cache.get_or_compute(key, async move { serving.compute(rows, patience).await });
                let found = tokio::time::timeout_at(deadline.into(), found).await;
                let Answered { answer, source, age } = found.unwrap_or(Err(Refusal::Late)).map_err(problem)?;
                (answer, Some((source, age)))
            }
        };
        let mut response = Response::new(format.write(&scores)?.into());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, format.content_type());
        headers.insert(VERSION, HeaderValue::from(scores.version));
        if let Some((source, age)) = found {
            let source = match source {
                Source::Hit => "hit",
                Source::Miss => "miss",
                Source::Coalesced => "coalesced",
            };
            headers.insert(CACHE, HeaderValue::from_static(source));
            headers.insert(CACHE_AGE, HeaderValue::from(age.as_millis() as u64));
        }
        Ok(response)
    }

    async fn compute(&self, rows: Rows, deadline: Instant) -> Result<Scores, Refusal> {
        let answer = self.batcher.submit(rows.values, rows.count, deadline)?;
        // For what is under way when its time comes: what still waits then is thrown away by the queue itself.
        let answer = tokio::time::timeout_at(deadline.into(), answer).await.map_err(|_| Refusal::Late)?;
        let scores = answer.map_err(|_| Refusal::Ending)??;
        let mut rows = scores.probabilities.chunks_exact(scores.classes);
        match rows.position(|row| row.iter().any(|probability| !probability.is_finite())) {
            Some(row) => Err(Refusal::NotFinite { row }),
            None => Ok(scores),
        }
    }

    async fn count(&self, headers: &HeaderMap, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
        let Path(name) = name.map_err(|cause| Problem::bad_request(cause.body_text()))?;
        let added = tokio::time::timeout(self.deadline_of(headers)?, self.sessions.add(&name, 1)).await;
        let count = added.map_err(|_| problem(Refusal::Late))??;
        Ok(axum::Json(serde_json::json!({ "session": name, "count": count })).into_response())
    }

    fn deadline_of(&self, headers: &HeaderMap) -> Result<Duration, Problem> {
        let Some(given) = headers.get(DEADLINE) else { return Ok(self.deadline) };
        let milliseconds = given.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
        let longest = LONGEST_DEADLINE.as_millis();
        match milliseconds.filter(|milliseconds| (0.0..=longest as f64).contains(milliseconds)) {
            Some(milliseconds) => Ok(Duration::from_secs_f64(1e-3 * milliseconds)),
            None => Err(Problem::bad_request(format!(
                "the header {DEADLINE} is {given:?}; send milliseconds from 0 to {longest}"
            ))),
        }
    }
}

fn problem(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Full { retry_after } => Problem {
            retry_after: Some(retry_after),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests wait already; come again later")
        },
        Refusal::Late => Problem::new(StatusCode::GATEWAY_TIMEOUT, "the deadline passed before there was an answer"),
        Refusal::NotFinite { row } => Problem::bad_request(format!(
            "the numbers of row {row} are too large for this model: its scores are not finite; scale the numbers down"
        )),
        Refusal::Failed(cause) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, cause),
        Refusal::Ending => Problem::unavailable("the server ends; ask another one"),
    }
}

async fn count_session(
    extract::State(serving): extract::State<Arc<Serving>>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let start = Instant::now();
    let response = serving.count(&headers, name).await.unwrap_or_else(IntoResponse::into_response);
    serving.metrics.answered(SESSION, response.status().as_u16(), start.elapsed().as_secs_f64());
    response
}

async fn replace_parameters(
    extract::State(serving): extract::State<Arc<Serving>>,
    request: Request,
) -> Result<Response, Problem> {
    // A model's parameters may be longer than any request for a prediction.
    let limits = ConnectionLimits { body_bytes: 1 << 30, ..serving.limits };
    let body: Bytes = whole_body(request.into_body(), &limits).await?;
    // Both are done, or neither, also when the client hangs up meanwhile.
    let replaced = tokio::task::spawn_blocking(move || {
        let replaced = serving.work.replace(&body);
        serving.cache.as_ref().inspect(|cache| cache.invalidate_all());
        replaced
    });
    let version = replaced
        .await
        .map_err(|cause| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, cause.to_string()))?
        .map_err(|cause| Problem::bad_request(cause.to_string()))?;
    Ok(axum::Json(serde_json::json!({ "version": version })).into_response())
}

async fn ready(extract::State(serving): extract::State<Arc<Serving>>) -> Result<&'static str, Problem> {
    if serving.stop.is_asked_for() {
        return Err(problem(Refusal::Ending));
    }
    Ok("ready\n")
}

/// Apart from [`ready`], because a server whose store is gone still predicts.
async fn sessions_ready(extract::State(serving): extract::State<Arc<Serving>>) -> Result<&'static str, Problem> {
    serving.sessions.ping().await?;
    Ok("ready\n")
}

async fn show_metrics(extract::State(serving): extract::State<Arc<Serving>>) -> Response {
    if let Some(cache) = &serving.cache {
        serving.metrics.cache(cache.counts());
    }
    let text = serving.metrics.text(serving.batcher.length(), serving.work.version());
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
