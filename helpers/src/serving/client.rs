//! Asking a service over HTTP, on connections that are kept.

use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::{Error, Result};

/// An answer that is longer is refused.
pub(crate) const LONGEST_ANSWER_BYTES: usize = 64 << 20;
/// A connection that nobody uses is closed before the other side does it in the middle of a request.
const IDLE: Duration = Duration::from_secs(4);

/// Sends requests. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Client(Connections);

/// Keeps connections to all who are asked. Clones share them.
pub(crate) type Connections = legacy::Client<HttpConnector, Full<Bytes>>;

/// None yet; each may take so long to be made, or as long as the system lets it.
pub(crate) fn connections(connect: Option<Duration>) -> Connections {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(connect);
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector)
}

impl Client {
    pub(crate) fn new() -> Self {
        Self(connections(None))
    }

    /// Sends a request with an absolute address and waits for all of the answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Service`] with the address when nothing listens there, the connection breaks, or the answer takes longer
    /// than `timeout` or more than 64 MiB.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>, timeout: Duration) -> Result<Response<Bytes>> {
        let address = request.uri().to_string();
        let answered = tokio::time::timeout(timeout, async {
            let response = self.0.request(request).await.map_err(|cause| unanswered(&address, &cause))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER_BYTES).collect().await;
            let body = body.map_err(|cause| unanswered(&address, cause.as_ref()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        });
        let late = |_| Error::Service(format!("{address} did not answer within {} s", timeout.as_secs_f64()));
        answered.await.map_err(late)?
    }
}

fn unanswered(address: &str, cause: &(dyn std::error::Error + 'static)) -> Error {
    Error::Service(format!("{address} did not answer ({})", innermost(cause)))
}

/// The innermost cause says most: that of a refused connection is below two others.
pub(crate) fn innermost(cause: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(cause), |cause| cause.source()).last().map(ToString::to_string).unwrap_or_default()
}
