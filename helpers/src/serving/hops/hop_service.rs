//! What a hop does for a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::answer::{CALL, COPY, ChainAnswer, Failure, PATH, Visit};
use super::caller::{Call, Caller};
use super::hop::Hop;
use crate::error::Result;
use crate::serving::http::{ConnectionLimits, DEADLINE, Prepared, Problem, REQUEST_ID};
use crate::serving::stop::Stop;

/// Of the time that is left after its own work, this share is passed on.
const PASSED_ON: f64 = 0.9;
/// A call that comes again within this time is answered with what was found before.
const REMEMBERED: Duration = Duration::from_secs(10);
const MOST_REMEMBERED: u64 = 10_000;
/// Calls that bring no number of their own are numbered from here on.
const OWN_NUMBERS: u64 = 1 << 62;
const LONGEST_DEADLINE_MS: u64 = 3_600_000;

/// What the handlers share.
struct Working {
    hop: Hop,
    caller: Option<Caller>,
    answers: moka::future::Cache<(u64, u64), ChainAnswer>,
    numbers: AtomicU64,
    stop: Stop,
}

impl Hop {
    pub(crate) async fn prepare(self, stop: Stop) -> Result<Prepared> {
        self.validate()?;
        let caller = self.next.clone().map(Caller::new).transpose()?;
        let answers = moka::future::Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(REMEMBERED).build();
        let working = Working { hop: self, caller, answers, numbers: AtomicU64::new(OWN_NUMBERS), stop };
        let router = Router::new()
            .route(PATH, get(answer))
            .route("/health", get(|| async {}))
            .route("/ready", get(ready))
            .with_state(Arc::new(working));
        Ok(Prepared { router, limits: ConnectionLimits::default() })
    }
}

async fn ready(State(working): State<Arc<Working>>) -> Response {
    if working.stop.is_asked_for() {
        return Problem::unavailable(format!("{} is about to end", working.hop.name)).into_response();
    }
    ().into_response()
}

async fn answer(State(working): State<Arc<Working>>, headers: HeaderMap) -> Response {
    match working.answer(&headers).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl Working {
    async fn answer(&self, headers: &HeaderMap) -> Result<ChainAnswer, Problem> {
        let arrived = Instant::now();
        let default = (1e3 * self.hop.deadline_seconds) as u64;
        let milliseconds = number(headers, &DEADLINE, LONGEST_DEADLINE_MS)?.unwrap_or(default);
        let call = number(headers, &CALL, u64::MAX)?;
        let call = call.unwrap_or_else(|| self.numbers.fetch_add(1, Ordering::Relaxed));
        let copy = number(headers, &COPY, 2)?.unwrap_or(1);
        let unnamed = HeaderValue::from_static("unnamed");
        let request_id = headers.get(REQUEST_ID).unwrap_or(&unnamed).clone();
        let deadline = arrived + Duration::from_millis(milliseconds);
        let working = self.work(Call { number: call, request_id, deadline }, copy, milliseconds);
        // The same call by two ways is one work: hedges along a chain would otherwise double from hop to hop.
        let answered = self.answers.try_get_with((call, copy), working);
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(answered) => answered.map_err(|failure| failure.problem()),
            Err(_) => {
                let text = format!("{} was not done within its deadline of {milliseconds} ms", self.hop.name);
                Err(Failure::late(text).problem())
            }
        }
    }

    /// First the next hop's part, then its own.
    async fn work(&self, call: Call, copy: u64, deadline_ms: u64) -> Result<ChainAnswer, Failure> {
        let mut behind = self.behind(&call).await?;
        let stalled = self.hop.stalls.of(call.number, copy);
        let seconds = self.hop.work_seconds + stalled;
        if seconds > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        let visit = Visit { hop: self.hop.name.clone(), copy, deadline_ms, stalled: stalled > 0.0 };
        behind.visits.insert(0, visit);
        Ok(behind)
    }

    /// What the next hop and those behind it have to say; nothing where there is none, and what is missing where the answer
    /// can do without.
    async fn behind(&self, call: &Call) -> Result<ChainAnswer, Failure> {
        let nothing = ChainAnswer { visits: Vec::new(), missing: Vec::new() };
        let Some(caller) = &self.caller else { return Ok(nothing) };
        let left = call.deadline.saturating_duration_since(Instant::now()).as_secs_f64() - self.hop.work_seconds;
        let left = Duration::from_secs_f64((PASSED_ON * left).max(0.0));
        match caller.call(&Call { deadline: Instant::now() + left, ..call.clone() }).await {
            Err(_) if caller.next().optional => {
                Ok(ChainAnswer { missing: vec![caller.next().name.clone()], ..nothing })
            }
            answered => answered,
        }
    }
}

/// The whole number in a header.
fn number(headers: &HeaderMap, name: &HeaderName, most: u64) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(name) else { return Ok(None) };
    let number = given.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number <= most);
    number.map(Some).ok_or_else(|| {
        Problem::bad_request(format!("the header {name} is {given:?}; send a whole number from 0 to {most}"))
    })
}
