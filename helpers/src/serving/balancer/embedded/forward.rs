//! From a client's request to its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body_util::Full;

use super::backend::{Backend, Standing};
use super::endpoint::Failure;
use super::pool::{Pool, later};
use crate::serving::balancer::description::RETRIES;
use crate::serving::http::{ConnectionLimits, Problem, whole_body};

/// Which backend answered.
const BACKEND: HeaderName = HeaderName::from_static("x-backend");
/// A client's word that its request does the same when it is done twice.
const IDEMPOTENT: HeaderName = HeaderName::from_static("x-idempotent");
/// What concerns one connection alone and is not passed on (RFC 9110, section 7.6.1).
const OF_ONE_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Where requests are sent on.
#[derive(Clone)]
pub(super) struct Forwarding {
    pub(super) pool: Arc<Pool>,
    pub(super) limits: ConnectionLimits,
}

/// Sends a request to backends until one has answered, or it must not be sent again.
pub(super) async fn forward(State(forwarding): State<Forwarding>, request: Request<Body>) -> Response<Body> {
    let Forwarding { pool, limits } = forwarding;
    let (mut head, body) = request.into_parts();
    let body = match whole_body(body, &limits).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    keep_end_to_end(&mut head.headers);
    let may_repeat = pool.balancer.retry_idempotent && is_idempotent(&head);
    let mut tried = Vec::new();
    loop {
        let request = Request::from_parts(head.clone(), Full::new(body.clone()));
        let exchange = match pool.send(request, &tried).await {
            Ok(exchange) => exchange,
            Err(problem) => return problem.into_response(),
        };
        let backend = exchange.backend;
        let failure = match exchange.answer {
            Ok(answer) => return pass_on(answer, &backend),
            Err(failure) => failure,
        };
        let again = match failure {
            Failure::Unreachable(_) => true,
            Failure::Broken(_) => may_repeat,
            Failure::Late => false,
        };
        if failure != Failure::Late {
            pool.set(&backend, Standing::Doubtful);
        }
        if !again || tried.len() == RETRIES {
            return problem(&failure, &backend, pool.balancer.answer_seconds).into_response();
        }
        tried.push(backend.number);
    }
}

/// Whether doing it twice is the same as doing it once. Predictions change nothing.
fn is_idempotent(head: &Parts) -> bool {
    let said = head.headers.get(IDEMPOTENT).is_some_and(|value| value == "1");
    let method = [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(&head.method);
    said || method || (head.method == Method::POST && head.uri.path() == "/predict")
}

fn keep_end_to_end(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|names| names.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|names| names.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
}

fn pass_on(answer: Response<Bytes>, backend: &Backend) -> Response<Body> {
    let mut answer = answer.map(Body::from);
    keep_end_to_end(answer.headers_mut());
    if let Ok(name) = HeaderValue::from_str(&format!("backend-{}", backend.number)) {
        answer.headers_mut().insert(BACKEND, name);
    }
    answer
}

fn problem(failure: &Failure, backend: &Backend, answer_seconds: f64) -> Problem {
    let name = format!("backend-{}", backend.number);
    match failure {
        Failure::Unreachable(cause) => {
            later(format!("no backend took the request: {name} could not be reached ({cause}); try again later"))
        }
        Failure::Broken(cause) => Problem::new(
            StatusCode::BAD_GATEWAY,
            format!(
                "{name} broke off the connection or did not answer in HTTP ({cause}); the others go on: send the request \
                 again"
            ),
        ),
        Failure::Late => {
            Problem::new(StatusCode::GATEWAY_TIMEOUT, format!("{name} did not answer within {answer_seconds} s"))
        }
    }
}
