//! A load as a value: what is sent to which service, and when.

use serde::{Deserialize, Serialize};

use super::message::{Body, Message};
use super::schedule::{Keys, Schedule};
use crate::data::RequestLog;
use crate::measure::Provenance;

/// Requests to an HTTP service at moments of their own (open loop).
///
/// Without further words: 100 requests per second, independently of each other (Poisson), for 10 s after 1 s that does not
/// count, over at most 256 connections, each with 10 s until it counts as lost.
///
/// ```
/// use onramp::prelude::*;
///
/// let load = Load::new("http://127.0.0.1:8080/predict").rate(2_000.0).json_rows(1, 784).seconds(5.0).on_core(1);
/// let text = Experiment::Load(load.clone()).to_json()?;
/// assert_eq!(Experiment::from_json(&text)?, Experiment::Load(load));
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub(super) target: String,
    pub(super) beyond_this_machine: bool,
    pub(super) schedule: Schedule,
    pub(super) per_second: f64,
    pub(super) keys: Option<Keys>,
    pub(super) seconds: f64,
    pub(super) warm_up_seconds: f64,
    pub(super) connections: usize,
    pub(super) message: Message,
    pub(super) timeout_seconds: f64,
    pub(super) retries: u32,
    pub(super) idempotent: bool,
    pub(super) core: Option<usize>,
    pub(super) provenance: Provenance,
    pub(super) seed: u64,
}

impl Load {
    /// A load on the service at this URL (`http://127.0.0.1:8080/predict`) or address (`127.0.0.1:8080`).
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            beyond_this_machine: false,
            schedule: Schedule::Poisson,
            per_second: 100.0,
            keys: None,
            seconds: 10.0,
            warm_up_seconds: 1.0,
            connections: 256,
            message: Message::new(),
            timeout_seconds: 10.0,
            retries: 0,
            idempotent: false,
            core: None,
            provenance: Provenance::Measured,
            seed: 0,
        }
    }

    /// Mean requests per second.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.per_second = per_second;
        self
    }

    /// Requests come at equal distances instead of independently of each other.
    pub fn constant(mut self) -> Self {
        self.schedule = Schedule::Constant;
        self
    }

    /// Requests come at the moments of a log and for its keys, until the log or the load ends.
    pub fn log(mut self, log: RequestLog) -> Self {
        self.schedule = Schedule::Log(log);
        self
    }

    /// Requests are for so many keys by Zipf's law, in which the k-th most wanted is wanted in proportion to 1 / k^exponent.
    /// Those for the same key have the same body.
    pub fn keys(mut self, count: usize, exponent: f64) -> Self {
        self.keys = Some(Keys { count, exponent });
        self
    }

    /// Another seed gives other moments, keys and bodies by the same laws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Seconds that count.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Seconds before them, with the same load, that do not.
    pub fn warm_up_seconds(mut self, seconds: f64) -> Self {
        self.warm_up_seconds = seconds;
        self
    }

    /// Connections at most. As many are opened as requests are in flight; beyond that requests wait for one, and their
    /// latency with them.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The path, instead of that of the URL. `{key}` in it stands for the request's key: `/session/{key}`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.message.path = Some(path.into());
        self
    }

    /// The method, instead of POST with a body and GET without.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.message.method = Some(method.into());
        self
    }

    /// A body for all requests.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>, content_type: impl Into<String>) -> Self {
        self.message.body = Body::Given { bytes: bytes.into(), content_type: content_type.into() };
        self
    }

    /// Bodies `{"rows": [[…], …]}` of so many rows and columns of normal numbers.
    pub fn json_rows(mut self, rows: usize, columns: usize) -> Self {
        self.message.body = Body::Json { rows, columns };
        self
    }

    /// The same rows as a safetensors file with one tensor named `rows`.
    pub fn tensor_rows(mut self, rows: usize, columns: usize) -> Self {
        self.message.body = Body::Tensor { rows, columns };
        self
    }

    /// How many different bodies of rows are made before the start (64). Requests take them in turn or, when they have keys,
    /// by their key.
    pub fn different_bodies(mut self, bodies: usize) -> Self {
        self.message.different_bodies = bodies;
        self
    }

    /// A header for all requests.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.headers.push((name.into(), value.into()));
        self
    }

    /// The token of a service that asks for one: `Authorization: Bearer …`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.message.token = Some(token.into());
        self
    }

    /// Tells the service in the header `x-deadline-ms` after how many seconds an answer is of no use any more.
    /// It is told in whole milliseconds, and at least one.
    pub fn deadline(self, seconds: f64) -> Self {
        let milliseconds = 1e3 * seconds;
        let milliseconds = if milliseconds > 0.0 { milliseconds.max(1.0) } else { milliseconds };
        self.header("x-deadline-ms", format!("{milliseconds:.0}"))
    }

    /// Each request names its key in this header, such as `x-session`.
    pub fn key_header(mut self, name: impl Into<String>) -> Self {
        self.message.key_header = Some(name.into());
        self
    }

    /// A request that has no answer so many seconds after it was due is lost.
    pub fn timeout(mut self, seconds: f64) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// Requests that get no answer, 502 or 503 are tried again up to so many times, from 10 ms on ever later. Only requests
    /// that may be done twice: a POST must be said to be [`Load::idempotent`].
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Doing a request twice does no harm, whatever its method.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Ties the generator to this core, from 0 on, which should have nothing else to do: it does not sleep during the last
    /// 0.2 ms before a request is due, to be in time.
    pub fn on_core(mut self, core: usize) -> Self {
        self.core = Some(core);
        self
    }

    /// The service takes timed waits instead of work, so its latencies are labelled as emulated.
    pub fn emulated(mut self) -> Self {
        self.provenance = Provenance::Emulated;
        self
    }

    /// The service is not on this machine, is the learner's own, and is meant to be loaded.
    pub fn beyond_this_machine(mut self) -> Self {
        self.beyond_this_machine = true;
        self
    }
}
