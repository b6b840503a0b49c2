//! A load as a value: what is sent to which service, and when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::generator::{self, Counted, Plan};
use super::load_run::LoadRun;
use super::message::{Body, Message};
use super::schedule::{Keys, Schedule, nanoseconds};
use super::target::Target;
use crate::data::RequestLog;
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::machine::{self, Machine};
use crate::measure::Provenance;

/// The highest rate that can be asked for; none is known to reach it.
const MOST_PER_SECOND: f64 = 1e7;
/// Files that a process has open for other things.
const OTHER_FILES: u64 = 64;
/// Between two looks at whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    target: String,
    beyond_this_machine: bool,
    schedule: Schedule,
    per_second: f64,
    keys: Option<Keys>,
    seconds: f64,
    warm_up_seconds: f64,
    connections: usize,
    message: Message,
    timeout_seconds: f64,
    retries: u32,
    idempotent: bool,
    core: Option<usize>,
    provenance: Provenance,
    seed: u64,
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
    pub fn deadline(self, seconds: f64) -> Self {
        self.header("x-deadline-ms", format!("{:.0}", 1e3 * seconds))
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

    /// Sends all requests and waits for their answers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an address that is none or not on this machine, numbers that make no sense, and more
    /// connections than this process may have; [`Error::Worker`] when nothing listens there; [`Error::TooFewPoints`] when
    /// no request was due; [`Error::Interrupted`].
    pub fn run(&self) -> Result<LoadRun> {
        let plan = self.plan()?;
        let (from, to) = (plan.from, plan.to);
        let Counted { mut recorder, given_up, most_connections, busy } = self.in_own_thread(plan)?;
        if recorder.due == 0 {
            return Err(Error::TooFewPoints(format!(
                "no request was due within the {} s that count; use a higher rate or more seconds",
                self.seconds
            )));
        }
        let seconds = 1e-9 * (to - from) as f64;
        let run = LoadRun {
            load: self.clone(),
            provenance: self.provenance,
            seconds,
            due: recorder.due,
            sent: recorder.sent,
            given_up,
            waited_for_connection: recorder.waited_for_connection,
            sent_per_second: recorder.sent_in_time as f64 / seconds,
            lateness: recorder.lateness(),
            latencies: recorder.latencies(),
            series: recorder.seconds(),
            answers: recorder.answers,
            failures: recorder.failures,
            retried: recorder.retried,
            retry_after: recorder.retry_after,
            busy,
            most_connections,
            not_kept_up: None,
        };
        Ok(run.judged())
    }

    /// Where it goes, as it was given.
    pub(super) fn target_text(&self) -> &str {
        &self.target
    }

    pub(super) fn warm_up(&self) -> f64 {
        self.warm_up_seconds
    }

    pub(super) fn connection_limit(&self) -> usize {
        self.connections
    }

    /// Everything made and looked at that can be before the first request.
    fn plan(&self) -> Result<Plan> {
        self.validate()?;
        let target = Target::parse(&self.target, self.beyond_this_machine)?;
        let mut end = self.warm_up_seconds + self.seconds;
        let by_key = self.keys.is_some() || matches!(self.schedule, Schedule::Log(_));
        let messages = self.message.prepare(&target.host, target.path.as_deref(), by_key, self.seed)?;
        let moments = self.schedule.moments(self.per_second, self.keys, self.seed, end)?;
        if let (Schedule::Log(log), Some(last)) = (&self.schedule, moments.listed().last())
            && log.len() == moments.listed().len()
        {
            // All of the log is sent; what comes after it is no pause of the service's users.
            end = end.min(1e-9 * (last.nanoseconds + 1) as f64);
        }
        if end <= self.warm_up_seconds {
            return Err(Error::invalid(format!(
                "the log ends after {end} s, within the warm-up of {} s; use a longer log or .warm_up_seconds(0.0)",
                self.warm_up_seconds
            )));
        }
        target.check()?;
        Ok(Plan {
            target,
            messages,
            moments,
            from: nanoseconds(self.warm_up_seconds),
            to: nanoseconds(end),
            connections: self.connections,
            timeout: Duration::from_secs_f64(self.timeout_seconds),
            retries: self.retries,
            own_core: self.core.is_some(),
        })
    }

    fn validate(&self) -> Result<()> {
        let within = |value: f64, most: f64| value.is_finite() && value > 0.0 && value <= most;
        if !matches!(self.schedule, Schedule::Log(_)) && !within(self.per_second, MOST_PER_SECOND) {
            return Err(Error::invalid(format!(
                "{} requests/s can't be sent; use a rate above 0 and at most {MOST_PER_SECOND}",
                self.per_second
            )));
        }
        let day = 86_400.0;
        let warm_up = self.warm_up_seconds;
        if !within(self.seconds, day) || !within(self.timeout_seconds, day) || !(warm_up == 0.0 || within(warm_up, day))
        {
            return Err(Error::invalid(format!(
                "a load for {} s after a warm-up of {warm_up} s with a timeout of {} s can't be; use numbers above 0 (the \
                 warm-up may be 0) and at most a day",
                self.seconds, self.timeout_seconds
            )));
        }
        let files = open_files_allowed();
        if self.connections == 0 || self.connections as u64 > files.saturating_sub(OTHER_FILES) {
            return Err(Error::invalid(format!(
                "{} connections can't be opened: this process may have {files} files open, and needs {OTHER_FILES} for other \
                 things; use at least 1 and at most {}, or raise the limit with `ulimit -n` before the notebook is started",
                self.connections,
                files.saturating_sub(OTHER_FILES)
            )));
        }
        let cores = Machine::detect().physical_cores;
        if let Some(core) = self.core.filter(|core| *core >= cores) {
            return Err(Error::invalid(format!(
                "there is no core {core} to tie the generator to; this machine has {cores}, counted from 0"
            )));
        }
        let method = self.message.method()?;
        if self.retries > 0 && !method.is_idempotent() && !self.idempotent {
            return Err(Error::invalid(format!(
                "{method} requests may not be done twice, so they are not tried again; say .idempotent() if it does no harm \
                 here, or leave out .retries({})",
                self.retries
            )));
        }
        Ok(())
    }

    /// The generator in a thread of its own, while this one shows how far it is and looks whether to stop.
    fn in_own_thread(&self, plan: Plan) -> Result<Counted> {
        let expected = 1e-9 * plan.to as f64 * self.per_second;
        let steady = !matches!(self.schedule, Schedule::Log(_));
        let mut progress =
            Progress::new("requests", steady.then_some(expected as usize)).at_most_every(Duration::from_secs(1));
        let (stop, ended) = (AtomicBool::new(false), AtomicU64::new(0));
        let (over, is_over) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let generator = scope.spawn(|| {
                // Dropped when the thread is done, however it ends.
                let _over = over;
                if let Some(core) = self.core {
                    machine::tie_to_core(core);
                }
                generator::run(plan, &stop, &ended)
            });
            let mut shown = 0;
            while is_over.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if check_interrupt().is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                let now = ended.load(Ordering::Relaxed);
                progress.advance((now - shown) as usize);
                shown = now;
            }
            generator
                .join()
                .unwrap_or_else(|_| Err(Error::Worker("the load generator panicked; run the cell again".to_string())))
        })
    }
}

/// How many files this process may have open.
fn open_files_allowed() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit only writes the two numbers of `limit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 { limit.rlim_cur } else { u64::MAX }
}
