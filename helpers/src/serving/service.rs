//! A part of a deployment as a process of its own.
//!
//! All services are the same program, `onramp-worker --service`: it reads the service's description as JSON from its
//! standard input, says on standard output where it listens once it does, and writes its log to standard error. It ends in an
//! orderly way on SIGTERM, and at once when the process that started it is gone.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::RangeInclusive;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::balancer::Balancer;
use super::client::Client;
use super::hops::Hop;
use super::http;
use super::listener::Listener;
use super::runtime::block_on;
use super::server::Server;
use super::state::StateServer;
use super::stop::Stop;
use crate::error::{Error, Result};
use crate::experiment::worker_command;
use crate::interrupt::check_interrupt;
use crate::machine;

/// A service that does not listen by then is given up.
const START: Duration = Duration::from_secs(30);
/// A service that has not ended so long after SIGTERM is killed.
const END: Duration = Duration::from_secs(15);
/// A service that takes longer to tell its metrics counts as one without.
const METRICS: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(10);
/// Of a service's log, the last so many lines are kept.
const LOG_LINES: usize = 500;
/// Names which lines a service writes to its log, such as `debug`; warnings and errors without it.
const LOG_VARIABLE: &str = "ONRAMP_LOG";

/// The description of any service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Predictions by a model.
    Server(Server),
    /// Sessions that several replicas share.
    StateServer(StateServer),
    /// The embedded balancer; [`Balancer::start`] knows HAProxy too.
    Balancer(Balancer),
    /// One of a chain of services.
    Hop(Hop),
}

/// What the program reads.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    service: Service,
    /// The core that its threads are tied to.
    core: Option<usize>,
}

/// What the program says once it listens.
#[derive(Debug, Serialize, Deserialize)]
struct Listening {
    address: String,
}

/// A service that runs. It is killed when this value goes.
#[derive(Debug)]
pub struct ServiceProcess {
    child: Child,
    address: String,
    token: Option<String>,
    client: Client,
    log: Arc<Mutex<VecDeque<String>>>,
    /// When it closes, the service ends: so none outlives the process that started it, however that one ended.
    _lifeline: ChildStdin,
}

impl Service {
    /// Makes the worker program a service.
    pub const FLAG: &str = "--service";

    /// Starts the service and waits until it listens.
    ///
    /// # Errors
    /// What the service refuses its description with; [`Error::Worker`] when the program is not there, or does not listen
    /// within 30 seconds; [`Error::Interrupted`].
    pub fn start(&self) -> Result<ServiceProcess> {
        self.launch(None)
    }

    /// The same with all of its threads tied to one core, from 0; those beyond the last start again at the first.
    ///
    /// # Errors
    /// As for [`Service::start`].
    pub fn start_on_core(&self, core: usize) -> Result<ServiceProcess> {
        self.launch(Some(core))
    }

    fn launch(&self, core: Option<usize>) -> Result<ServiceProcess> {
        let order = Order { service: self.clone(), core };
        let order = serde_json::to_string(&order)
            .map_err(|cause| Error::invalid(format!("this service can't be written as JSON: {cause}")))?;
        let mut command = worker_command()?;
        command.arg(Self::FLAG).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| Error::io("starting a service", cause))?;
        let (lifeline, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let log = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(errors) = errors {
            keep_lines(errors, log.clone());
        }
        let (said, first_line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            if let Some(output) = output {
                // Without a line the service has ended, and its log says why.
                let _ = BufReader::new(output).read_line(&mut line);
            }
            let _ = said.send(line);
        });
        let mut lifeline = lifeline.ok_or_else(|| Error::Worker("a service has no standard input".to_string()))?;
        // A service that ended before it read this says itself why.
        let _ = lifeline.write_all(order.as_bytes()).and_then(|()| lifeline.write_all(b"\n"));
        let (address, token, client) = (String::new(), self.listener().token.clone(), Client::new());
        let mut process = ServiceProcess { child, address, token, client, log, _lifeline: lifeline };
        let start = Instant::now();
        let line = loop {
            check_interrupt()?;
            match first_line.recv_timeout(LOOK) {
                Ok(line) => break line,
                Err(mpsc::RecvTimeoutError::Disconnected) => break String::new(),
                Err(mpsc::RecvTimeoutError::Timeout) if start.elapsed() > START => {
                    return Err(Error::Worker(format!(
                        "a service did not listen within {} s. {}",
                        START.as_secs(),
                        process.log()
                    )));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        };
        let Ok(Listening { address }) = serde_json::from_str(&line) else {
            return Err(process.why_it_did_not_start(&line));
        };
        process.address = address;
        Ok(process)
    }

    /// What the program does: it reads an order from standard input and serves until it is asked to end.
    ///
    /// # Errors
    /// What the service refuses, such as a port that is taken.
    pub fn serve_as_ordered() -> Result<()> {
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .map_err(|cause| Error::io("reading a service's description from standard input", cause))?;
        let Order { service, core } = serde_json::from_str(&line).map_err(|cause| {
            Error::invalid(format!("this is not a service in JSON: {cause}; services are started by Service::start()"))
        })?;
        let level = tracing_subscriber::EnvFilter::try_from_env(LOG_VARIABLE)
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
        // One that was set before serves as well.
        let _ = tracing_subscriber::fmt().json().with_env_filter(level).with_writer(std::io::stderr).try_init();
        if let Some(core) = core {
            machine::tie_to_core(core);
        }
        let mut runtime = match core {
            Some(_) => tokio::runtime::Builder::new_current_thread(),
            None => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.enable_all().build().map_err(|cause| Error::io("starting a service's threads", cause))?;
        runtime.block_on(service.serve_until_asked())
    }

    async fn serve_until_asked(self) -> Result<()> {
        let (listener, token) = (self.listener().bind().await?, self.listener().token.clone());
        let address =
            listener.local_addr().map_err(|cause| Error::io("asking for the service's own address", cause))?;
        let (stopper, stop) = Stop::pair();
        let terminated = signal(SignalKind::terminate());
        let mut terminated = terminated.map_err(|cause| Error::io("waiting for a signal", cause))?;
        tokio::spawn(async move {
            terminated.recv().await;
            stopper.stop();
        });
        std::thread::spawn(end_with_lifeline);
        let prepared = match self {
            Self::Server(server) => server.prepare(stop.clone()).await?,
            Self::StateServer(server) => server.prepare(stop.clone()).await?,
            Self::Balancer(balancer) => balancer.prepare().await?,
            Self::Hop(hop) => hop.prepare(stop.clone()).await?,
        };
        let line = serde_json::to_string(&Listening { address: address.to_string() }).unwrap_or_default();
        println!("{line}");
        http::serve(listener, prepared, token, stop).await
    }

    fn listener(&self) -> &Listener {
        match self {
            Self::Server(server) => &server.listener,
            Self::StateServer(server) => &server.listener,
            Self::Balancer(balancer) => &balancer.listener,
            Self::Hop(hop) => &hop.listener,
        }
    }
}

impl ServiceProcess {
    /// Where it listens: `127.0.0.1:34567`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same as the beginning of an address on the web: `http://127.0.0.1:34567`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The system's number of the process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// [`Error::Io`] when the system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.ended()?.is_none())
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|cause| Error::io("asking for a service's state", cause))
    }

    /// Kills it, as a crash would: what it was doing is lost. Nothing happens to one that has ended.
    ///
    /// # Errors
    /// [`Error::Io`] when the system does not let it.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|cause| Error::io("killing a service", cause))?;
        Ok(())
    }

    /// Asks it to finish what it has, for which it has 10 seconds, and waits until it has ended. Nothing happens to one that
    /// has ended.
    ///
    /// # Errors
    /// [`Error::Worker`] when it cut off requests that took longer, or had to be killed after 15 seconds; [`Error::Io`] when the
    /// system does not let it.
    pub fn stop(&mut self) -> Result<()> {
        if !self.is_running()? {
            return Ok(());
        }
        // SAFETY: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            if start.elapsed() > END {
                self.kill()?;
                return Err(Error::Worker(format!(
                    "the service at {} did not end within {} s and was killed. {}",
                    self.address,
                    END.as_secs(),
                    self.log()
                )));
            }
            std::thread::sleep(LOOK);
        };
        if status.success() {
            return Ok(());
        }
        Err(Error::Worker(format!(
            "the service at {} did not end well ({status}). {}",
            self.address,
            self.last_words()
        )))
    }

    /// Main memory that it has now, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] when it has ended.
    pub fn memory_bytes(&self) -> Result<u64> {
        let pages = self.stat(24..=24)?;
        // SAFETY: sysconf only reads the configuration of the running system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Ok(pages * u64::try_from(page).unwrap_or(0))
    }

    /// Processor time that its threads have used, in seconds, to a hundredth of one.
    ///
    /// # Errors
    /// [`Error::Io`] when it has ended.
    pub fn processor_seconds(&self) -> Result<f64> {
        let ticks = self.stat(14..=15)?;
        // SAFETY: sysconf only reads the configuration of the running system.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        Ok(ticks as f64 / per_second as f64)
    }

    /// The sum of some numbers that the system tells of it, by their places in proc(5) under /proc/PID/stat.
    fn stat(&self, places: RangeInclusive<usize>) -> Result<u64> {
        let file = format!("/proc/{}/stat", self.process_id());
        let failed = |cause| Error::io(format!("reading {file}"), cause);
        let text = fs::read_to_string(&file).map_err(failed)?;
        // The program's name, in parentheses, is the second and may have spaces; the third is its state.
        let numbers: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        if numbers.first().is_none_or(|state| ["Z", "X"].contains(state)) {
            return Err(failed(std::io::Error::other("the service has ended")));
        }
        let sum: Option<u64> = places.map(|place| numbers.get(place - 3)?.parse::<u64>().ok()).sum();
        sum.ok_or_else(|| failed(std::io::Error::other(format!("it says '{}'", text.trim()))))
    }

    /// The value of one of its metrics now, by its name at `/metrics`, such as `onramp_inference_seconds_sum`; summed over
    /// its labels. None when it has not counted such a thing.
    ///
    /// # Errors
    /// [`Error::Service`] when it does not answer within a second, or has no metrics.
    pub fn metric(&self, name: &str) -> Result<Option<f64>> {
        let address = format!("{}/metrics", self.url());
        let mut request = Request::get(&address);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::default());
        let request = request.map_err(|cause| Error::invalid(format!("{address} can't be asked ({cause})")))?;
        let page = block_on(self.client.send(request, METRICS))?;
        if !page.status().is_success() {
            return Err(Error::Service(format!("{address} answered with {}, and no metrics", page.status())));
        }
        let text = String::from_utf8_lossy(page.body());
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        Ok(values.reduce(|sum, value| sum + value))
    }

    /// The last 500 lines of what it wrote to standard error.
    pub fn log(&self) -> String {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Its log once it has ended.
    fn last_words(&self) -> String {
        // They may still be on their way.
        let start = Instant::now();
        while self.log().is_empty() && start.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(LOOK);
        }
        self.log()
    }

    /// `line` is what it said in place of where it listens; nothing when it has ended.
    fn why_it_did_not_start(&mut self, line: &str) -> Error {
        if !line.is_empty() {
            // It may go on for ever.
            let _ = self.kill();
            return Error::Worker(format!(
                "the program of a service said '{}' instead of where it listens; run `cargo lab setup`, which builds it anew. {}",
                line.trim_end(),
                self.log()
            ));
        }
        let status = self.child.wait();
        let log = self.last_words();
        match status {
            // The program's own message is complete as it is.
            Ok(status) if status.code() == Some(2) => Error::Worker(log),
            Ok(status) => Error::Worker(format!("a service ended before it listened ({status}). {log}")),
            Err(cause) => Error::io("waiting for a service", cause),
        }
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is what is wanted.
        let _ = self.kill();
    }
}

fn keep_lines(errors: impl Read + Send + 'static, log: Arc<Mutex<VecDeque<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(std::io::Result::ok) {
            let mut lines = log.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LOG_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
}

/// Standard input stays open as long as the process that started this one lives.
fn end_with_lifeline() {
    let mut nothing = [0; 64];
    while std::io::stdin().read(&mut nothing).is_ok_and(|read| read > 0) {}
    std::process::exit(0);
}
