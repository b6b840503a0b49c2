//! What all services have in common: connections with limits, names for requests, errors as JSON, and an orderly end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, debug, info_span, warn};

use super::stop::Stop;
use crate::error::{Error, Result};

/// Names a request in answers and logs.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Milliseconds that the client waits at most.
pub(crate) const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");
/// A name of a request that is longer is replaced.
const LONGEST_REQUEST_ID: usize = 128;
/// After an accept that failed, most often for want of file handles.
pub(crate) const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// How much of a service its clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Connections that are open at once. Those beyond wait, not accepted, in the system's queue.
    pub(crate) connections: usize,
    /// From a connection's start, or its last answer, until all headers of the next request are there.
    pub(crate) header: Duration,
    /// Until all of a body is there.
    pub(crate) body: Duration,
    /// The longest body.
    pub(crate) body_bytes: usize,
    /// After it was asked to end: for requests that are under way. Those that take longer are cut off.
    pub(crate) drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            body_bytes: 8 << 20,
            drain: Duration::from_secs(10),
        }
    }
}

/// A service that is ready to answer.
pub(crate) struct Prepared {
    pub(crate) router: Router,
    pub(crate) limits: ConnectionLimits,
}

/// A request that was not answered as wanted: what was wrong, and what to do.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// When to come again.
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

/// What was wrong with what was asked is the client's, and anything else may be over later.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidInput(text) => Self::bad_request(text),
            other => Self::unavailable(other.to_string()),
        }
    }
}

/// The body is written by [`name_and_explain`], which knows the request's name.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Answers requests until it is asked to stop, and then until those that are under way are answered.
///
/// # Errors
/// [`Error::Service`] when some of these were not answered in time, and were cut off.
pub(crate) async fn serve(listener: TcpListener, prepared: Prepared, token: Option<String>, stop: Stop) -> Result<()> {
    let Prepared { router, limits } = prepared;
    let service = TowerToHyperService::new(with_common_layers(router, token));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.wait() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(cause) => {
                warn!("a connection could not be accepted: {cause}");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                continue;
            }
        };
        // Without this an answer may wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let connection = connections.watch(builder.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            // A client that breaks off its connection is no event.
            if let Err(cause) = connection.await {
                debug!("a connection ended: {cause}");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, connections.shutdown()).await.is_err() {
        return Err(Error::Service(format!(
            "some requests were not answered within {} s after the end was asked for, and were cut off",
            limits.drain.as_secs_f64()
        )));
    }
    Ok(())
}

fn with_common_layers(router: Router, token: Option<String>) -> Router {
    let unknown = async |request: Request| {
        Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", request.uri().path()))
    };
    let wrong_method = async |request: Request| {
        let (method, path) = (request.method(), request.uri().path());
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} can't be asked with {method}"))
    };
    let panicked = |_: Box<dyn std::any::Any + Send>| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the service made a mistake; its log says where")
            .into_response()
    };
    let router = router.fallback(unknown).method_not_allowed_fallback(wrong_method);
    let router = match token {
        Some(token) => router.layer(from_fn_with_state(Token::new(&token), check_token)),
        None => router,
    };
    router.layer(CatchPanicLayer::custom(panicked)).layer(from_fn(name_and_explain))
}

/// Gives the request a name, and its problem, if it has one, a body.
async fn name_and_explain(mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let name = request_name(request.headers());
    request.headers_mut().insert(REQUEST_ID, name.clone());
    let span = info_span!("request", id = name.to_str().unwrap_or_default(), method = %request.method(),
        path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = serde_json::json!({ "error": problem.text, "request_id": name.to_str().unwrap_or_default() });
        *response.body_mut() = Body::from(body.to_string());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = problem.retry_after {
            // Whole seconds, and not none.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        if problem.status.is_server_error() {
            let _entered = span.enter();
            warn!(status = problem.status.as_u16(), "{}", problem.text);
        }
    }
    response.headers_mut().insert(REQUEST_ID, name);
    let _entered = span.enter();
    debug!(status = response.status().as_u16(), seconds = start.elapsed().as_secs_f64(), "answered");
    response
}

/// The client's own name for its request where it is a sensible one, or the next number of this process.
fn request_name(headers: &HeaderMap) -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Each look at it is a call of the system.
    static OWN_PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    let given = headers.get(REQUEST_ID).filter(|name| {
        (1..=LONGEST_REQUEST_ID).contains(&name.len()) && name.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let name = format!("{:x}-{:x}", *OWN_PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
        HeaderValue::from_str(&name).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    })
}

/// What a client must show.
#[derive(Debug, Clone)]
struct Token {
    digest: [u8; 32],
}

impl Token {
    fn new(token: &str) -> Self {
        Self { digest: Sha256::digest(token.as_bytes()).into() }
    }

    /// Digests are compared, so that the time it takes tells nothing about the token.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|shown| shown.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|shown| Self::new(shown.trim()).digest == self.digest)
    }
}

/// Balancers ask these, and have no token.
const OPEN_PATHS: [&str; 2] = ["/health", "/ready"];

async fn check_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    if OPEN_PATHS.contains(&request.uri().path()) || token.admits(request.headers()) {
        return next.run(request).await;
    }
    let text = "this service needs a token: send the header 'Authorization: Bearer' with it";
    Problem::new(StatusCode::UNAUTHORIZED, text).into_response()
}

/// All of a request's body.
///
/// # Errors
/// 413 for one that is too long, 408 for one that takes too long, 400 for one that breaks off.
pub(crate) async fn whole_body(body: Body, limits: &ConnectionLimits) -> Result<Bytes, Problem> {
    let too_long = || {
        let text = format!(
            "the body has more than {} bytes; send less at once, or raise the limit: .longest_body(bytes) of a server, \
             .largest_body_bytes(bytes) of a balancer",
            limits.body_bytes
        );
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let announced = axum::body::HttpBody::size_hint(&body).lower();
    if announced > limits.body_bytes as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(limits.body, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(cause)) => Err(Problem::bad_request(format!("the body broke off ({cause})"))),
        Err(_) => {
            let text = format!("the body was not complete within {} s", limits.body.as_secs_f64());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}
