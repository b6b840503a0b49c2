//! One exchange with one backend, as a tower service.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use tower::Service;
use tower::load::Load;

use super::backend::Backend;
use crate::serving::client::{Connections, LONGEST_ANSWER_BYTES, innermost};

/// A backend that requests can be sent to. It is always ready; who may send how much is decided before.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) backend: Arc<Backend>,
    pub(super) connections: Connections,
    pub(super) patience: Duration,
}

/// What came of a request to a backend.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) backend: Arc<Backend>,
    pub(super) answer: Result<Response<Bytes>, Failure>,
}

/// Why a backend did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request did not reach it.
    Unreachable(String),
    /// It broke off the connection, or what it answered is no HTTP.
    Broken(String),
    /// It took longer than it may.
    Late,
}

/// Sends a request and waits for all of the answer.
pub(super) async fn exchange(
    connections: &Connections,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<Response<Bytes>, Failure> {
    let answered = tokio::time::timeout(patience, async {
        let response = connections.request(request).await.map_err(|cause| {
            let text = innermost(&cause);
            if cause.is_connect() { Failure::Unreachable(text) } else { Failure::Broken(text) }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER_BYTES).collect().await;
        let body = body.map_err(|cause| Failure::Broken(innermost(cause.as_ref())))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    });
    answered.await.unwrap_or(Err(Failure::Late))
}

/// The request's place at a backend. One that can't be there is asked for at the top.
fn at(place: &Uri, backend: &str) -> Uri {
    let path = place.path_and_query().map_or("/", |path| path.as_str());
    let builder = Uri::builder().scheme("http").authority(backend).path_and_query(path);
    builder.build().unwrap_or_default()
}

impl Service<Request<Full<Bytes>>> for Endpoint {
    type Response = Exchange;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Exchange, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let Self { backend, connections, patience } = self.clone();
        *request.uri_mut() = at(request.uri(), &backend.address);
        // Counted before anybody else can choose.
        let under_way = backend.counts.in_flight.enter();
        backend.counts.requests.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let answer = exchange(&connections, request, patience).await;
            if answer.is_err() {
                backend.counts.failures.fetch_add(1, Ordering::Relaxed);
            }
            drop(under_way);
            Ok(Exchange { backend, answer })
        })
    }
}

/// The power of two choices compares requests under way.
impl Load for Endpoint {
    type Metric = u64;

    fn load(&self) -> u64 {
        self.backend.counts.in_flight.now()
    }
}
