//! One connection, and the exchange of a request for its answer.
//!
//! Request and connection are driven by the same task: an answer then takes one wake-up from the socket to the record, not
//! one for the connection and a second one for whoever waits for it.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::RETRY_AFTER;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answers::Failure;

/// An answer that came to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The header Retry-After, in seconds.
    pub(super) retry_after: Option<u64>,
}

/// An open connection.
pub(super) struct Connection {
    requests: http1::SendRequest<Full<Bytes>>,
    /// Does the reading and writing, and is over when the connection is.
    work: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    over: bool,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::Connect)?;
        // Without it a request in two parts waits for the other side's acknowledgement; where it can't be set, it does.
        let _ = stream.set_nodelay(true);
        let (requests, work) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Connect)?;
        Ok(Self { requests, work: Box::pin(work), over: false })
    }

    /// True when no further request can be sent.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.requests.is_closed()
    }

    /// Looks after the connection while nothing is sent: the service may close it.
    pub(super) fn poll_idle(&mut self, context: &mut Context<'_>) {
        if !self.over {
            self.over = self.work.as_mut().poll(context).is_ready();
        }
    }

    /// Waits until the next request can be sent. False when the connection is over.
    pub(super) async fn is_ready(&mut self) -> bool {
        let Self { requests, work, over } = self;
        driven(work, over, requests.ready()).await.is_ok()
    }

    /// Sends a request and reads its whole answer, whose body nobody looks at.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let Self { requests, work, over } = self;
        let answer = async {
            let (head, mut body) = requests.send_request(request).await?.into_parts();
            while let Some(part) = body.frame().await {
                part?;
            }
            let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Answer { status: head.status, retry_after })
        };
        driven(work, over, answer).await.map_err(|error: hyper::Error| failure(&error))
    }
}

/// Polls `wanted` and the work of its connection in turn until `wanted` is there.
async fn driven<T>(
    work: &mut Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
    over: &mut bool,
    wanted: impl Future<Output = T>,
) -> T {
    let mut wanted = pin!(wanted);
    poll_fn(|context| {
        // First hands the request over, or takes what has arrived.
        if let Poll::Ready(result) = wanted.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        if *over {
            return Poll::Pending;
        }
        *over = work.as_mut().poll(context).is_ready();
        // What that work has brought; also the end of the connection, which the other half now knows.
        wanted.as_mut().poll(context)
    })
    .await
}

/// Why there is no answer.
fn failure(error: &hyper::Error) -> Failure {
    let unreadable =
        |cause: &io::Error| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    if error.is_parse() || cause.is_some_and(unreadable) { Failure::Garbage } else { Failure::Cut }
}
