//! Calling the next hop: deadline, hedge, circuit breaker.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Request, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use serde::Deserialize;

use super::answer::{CALL, COPY, ChainAnswer, Failure, PATH};
use super::breaker::Breaker;
use super::hedge::Hedging;
use super::hop::NextHop;
use crate::error::Result;
use crate::serving::client::Client;
use crate::serving::http::{DEADLINE, REQUEST_ID};

/// What is wanted of the next hop.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) number: u64,
    /// The request's name, which goes along the chain.
    pub(super) request_id: HeaderValue,
    /// From then on an answer is of no use.
    pub(super) deadline: Instant,
}

/// The way to one hop.
#[derive(Debug)]
pub(super) struct Caller {
    next: NextHop,
    client: Client,
    hedging: Option<Mutex<Hedging>>,
    breaker: Mutex<Breaker>,
}

/// The body of an error.
#[derive(Debug, Deserialize)]
struct Explained {
    error: String,
}

impl Caller {
    /// # Errors
    /// [`crate::Error::InvalidInput`] for an address or a hedge that makes no sense.
    pub(super) fn new(next: NextHop) -> Result<Self> {
        next.validate()?;
        let hedging = next.hedge.map(|hedge| hedge.start().map(Mutex::new)).transpose()?;
        Ok(Self { next, client: Client::new(), hedging, breaker: Mutex::default() })
    }

    pub(super) fn next(&self) -> &NextHop {
        &self.next
    }

    /// Calls, unless the circuit breaker is open.
    ///
    /// # Errors
    /// A failure that names the hop.
    pub(super) async fn call(&self, call: &Call) -> Result<ChainAnswer, Failure> {
        // Nothing would be sent, so that nothing is learned about the hop.
        self.left(call)?;
        if let Err(rest) = lock(&self.breaker).admit(Instant::now()) {
            return Err(Failure::broken(format!(
                "{} failed several times in a row and is not called for another {:.1} s",
                self.next.name,
                rest.as_secs_f64()
            )));
        }
        let begun = Instant::now();
        let answered = self.hedged(call).await;
        let to_blame = answered.as_ref().is_err_and(|failure| failure.own);
        lock(&self.breaker).record(!to_blame, Instant::now());
        if let (Some(hedging), Ok(_)) = (&self.hedging, &answered) {
            lock(hedging).record(begun.elapsed().as_secs_f64());
        }
        answered
    }

    /// The first answer of two copies, the second of which is sent when the first one is late or fails. What
    /// is still under way then is dropped, which breaks off its connection and so ends the work at the other side.
    async fn hedged(&self, call: &Call) -> Result<ChainAnswer, Failure> {
        let Some(hedging) = &self.hedging else { return self.send(call, 1).await };
        lock(hedging).begin();
        let delay = lock(hedging).delay_seconds();
        let mut first = Box::pin(self.send(call, 1));
        if let Some(delay) = delay {
            match tokio::time::timeout(Duration::from_secs_f64(delay), &mut first).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) if Instant::now() >= call.deadline || !lock(hedging).take_copy() => {
                    return Err(failure);
                }
                Ok(Err(_)) => return self.send(call, 2).await,
                Err(_) => {}
            }
            if lock(hedging).take_copy() {
                let mut second = Box::pin(self.send(call, 2));
                let (answered, first_is_open) = tokio::select! {
                    answered = &mut first => (answered, false),
                    answered = &mut second => (answered, true),
                };
                return match answered {
                    Ok(answer) => Ok(answer),
                    Err(_) if first_is_open => first.await,
                    Err(_) => second.await,
                };
            }
        }
        first.await
    }

    /// The time that is left, also in whole milliseconds.
    ///
    /// # Errors
    /// A failure when it is less than one.
    fn left(&self, call: &Call) -> Result<(Duration, u64), Failure> {
        let left = call.deadline.saturating_duration_since(Instant::now());
        match left.as_millis() as u64 {
            0 => {
                let text = format!("there was no time left to call {}", self.next.name);
                Err(Failure { own: false, ..Failure::late(text) })
            }
            milliseconds => Ok((left, milliseconds)),
        }
    }

    async fn send(&self, call: &Call, copy: u64) -> Result<ChainAnswer, Failure> {
        let name = &self.next.name;
        let address = &self.next.addresses[(copy as usize - 1) % self.next.addresses.len()];
        let (left, milliseconds) = self.left(call)?;
        let request = Request::get(format!("http://{address}{PATH}"))
            .header(DEADLINE, milliseconds)
            .header(CALL, call.number)
            .header(COPY, copy)
            .header(REQUEST_ID, call.request_id.clone())
            .body(Full::<Bytes>::default())
            .map_err(|cause| Failure::broken(format!("{name} can't be called at {address}: {cause}")))?;
        let response = self.client.send(request, left).await.map_err(|cause| {
            if Instant::now() >= call.deadline {
                return Failure::late(format!("{name} at {address} did not answer within {milliseconds} ms"));
            }
            Failure::broken(format!("{name} could not be reached: {cause}"))
        })?;
        let status = response.status();
        if status == StatusCode::OK {
            return serde_json::from_slice(response.body())
                .map_err(|cause| Failure::broken(format!("{name} at {address} answered something else: {cause}")));
        }
        let explained = serde_json::from_slice::<Explained>(response.body());
        let text = explained.map_or_else(|_| "without a word".to_string(), |explained| explained.error);
        Err(match status {
            // It names the hop that is to blame, which may lie behind this one.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Failure { status, text, own: false },
            _ => Failure::broken(format!("{name} at {address} answered {status}: {text}")),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there only counts: a panic elsewhere does not make it wrong.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on should say so and stop")]
mod tests {
    use super::*;

    #[test]
    fn a_call_for_which_there_was_no_time_says_nothing_about_the_hop() {
        // Nothing listens there.
        let next =
            NextHop { name: "price".into(), addresses: vec!["127.0.0.1:9".into()], optional: false, hedge: None };
        let caller = Caller::new(next).unwrap();
        let call = |seconds| {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            let call = Call { number: 1, request_id: HeaderValue::from_static("call"), deadline };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(caller.call(&call)).unwrap_err()
        };
        (0..4).for_each(|_| assert!(call(60).own));
        assert!(call(0).text.contains("no time left"));
        let before = Instant::now();
        assert!(call(60).own);
        assert!(lock(&caller.breaker).admit(before).is_err(), "five failures in a row open it");
    }
}
