//! Replicas that are processes of this machine.
//!
//! A replica is started in a thread beside the others, and comes into the rotation when it is ready. One that is not wanted any
//! more leaves the rotation first; only after a moment, when nobody can still be on the way to it, is it asked to end, and it
//! then finishes what it has. So scaling down loses no request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Replicas;
use super::ends::Ends;
use super::starts::Starts;
use crate::error::{Error, Result};
use crate::measure::Provenance;
use crate::serving::{Server, ServiceProcess};

/// The counter that each server has: requests by path and by how they ended.
const REQUESTS_METRIC: &str = "onramp_requests_total";

/// The addresses of the replicas that take requests, in turn. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    addresses: Arc<Mutex<Vec<String>>>,
    next: Arc<AtomicUsize>,
}

/// Any number of processes of one server. They are stopped, and finish what they have, when this value goes.
#[derive(Debug)]
pub struct ReplicaProcesses {
    server: Server,
    cold_start: Duration,
    wanted: usize,
    running: Vec<Replica>,
    starts: Starts,
    ends: Ends,
    rotation: Rotation,
    reports: Vec<String>,
}

#[derive(Debug)]
struct Replica {
    process: ServiceProcess,
    /// When its requests were counted last, and how many there had been.
    counted: (Instant, f64),
}

impl Rotation {
    /// The address of the replica whose turn it is, such as `127.0.0.1:34567`; none when there is no replica.
    pub fn next_address(&self) -> Option<String> {
        let addresses = self.lock();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        addresses.get(turn.checked_rem(addresses.len())?).cloned()
    }

    /// All addresses.
    pub fn addresses(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        // Nothing in here can fail half-way.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplicaProcesses {
    /// None yet of this server, such as `Server::timed(ServiceTime::constant(0.05))`.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            cold_start: Duration::ZERO,
            wanted: 0,
            running: Vec::new(),
            starts: Starts::new(),
            ends: Ends::default(),
            rotation: Rotation::default(),
            reports: Vec::new(),
        }
    }

    /// Seconds that a replica takes until it is ready beyond what its process takes: a timed wait in place of a model to
    /// fetch. Nothing without this.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for something else than 0 to 60 s.
    pub fn cold_start(mut self, seconds: f64) -> Result<Self> {
        self.cold_start = duration("a cold start", seconds)?;
        Ok(self)
    }

    /// Seconds after the first failure to start a replica until the next try; each further failure doubles them, and after
    /// five in a row there is no further try until another number of replicas is wanted. 1 without this.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for something else than 0 to 60 s.
    pub fn pause_after_failure(mut self, seconds: f64) -> Result<Self> {
        self.starts.first_pause = duration("a pause after a failure", seconds)?;
        Ok(self)
    }

    /// Where requests go; it changes as replicas come and go.
    pub fn rotation(&self) -> Rotation {
        self.rotation.clone()
    }

    /// The system's numbers of the processes that are ready.
    pub fn process_ids(&self) -> Vec<u32> {
        self.running.iter().map(|replica| replica.process.process_id()).collect()
    }

    /// Takes in what has happened, and starts what is missing.
    fn tend(&mut self) -> Result<()> {
        for index in (0..self.running.len()).rev() {
            if !self.running[index].process.is_running()? {
                let replica = self.running.remove(index);
                self.leave(&replica);
                let (address, log) = (replica.process.address(), replica.process.log());
                self.reports.push(format!("the replica at {address} ended by itself. {log}").trim_end().to_string());
            }
        }
        for process in self.starts.arrivals(&mut self.reports) {
            self.rotation.lock().push(process.address().to_string());
            self.running.push(Replica { process, counted: (Instant::now(), 0.0) });
        }
        self.ends.report(&mut self.reports);
        while self.running.len() > self.wanted {
            let Some(replica) = self.running.pop() else { break };
            self.leave(&replica);
            self.ends.retire(replica.process)?;
        }
        let (server, cold_start) = (self.server.clone(), self.cold_start);
        self.starts.fill(self.wanted.saturating_sub(self.running.len()), move || {
            let process = server.start()?;
            std::thread::sleep(cold_start);
            Ok(process)
        })
    }

    fn leave(&mut self, replica: &Replica) {
        self.rotation.lock().retain(|address| address != replica.process.address());
    }
}

impl Replicas for ReplicaProcesses {
    fn wanted(&self) -> usize {
        self.wanted
    }

    fn ready(&mut self) -> Result<usize> {
        self.tend()?;
        if self.running.is_empty() && self.wanted > 0 {
            self.starts.check_hope()?;
        }
        Ok(self.running.len())
    }

    fn scale_to(&mut self, replicas: usize) -> Result<()> {
        if replicas != self.wanted {
            self.starts.forget_failures();
        }
        self.wanted = replicas;
        self.tend()
    }

    fn metric(&mut self) -> Result<Option<f64>> {
        self.tend()?;
        let mut rates = Vec::new();
        for index in 0..self.running.len() {
            match self.running[index].process.metric(REQUESTS_METRIC) {
                Ok(count) => {
                    let count = count.unwrap_or(0.0);
                    let now = Instant::now();
                    let (before, had) = std::mem::replace(&mut self.running[index].counted, (now, count));
                    let seconds = now.duration_since(before).as_secs_f64();
                    rates.extend((seconds > 0.0).then(|| (count - had) / seconds));
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(cause) => self.reports.push(format!("a replica did not tell its metrics: {cause}")),
            }
        }
        Ok((!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64))
    }

    fn reports(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reports)
    }

    fn provenance(&self) -> Provenance {
        if self.server.is_timed() { Provenance::Emulated } else { Provenance::Measured }
    }
}

impl Drop for ReplicaProcesses {
    fn drop(&mut self) {
        self.rotation.lock().clear();
        // Nobody waits for those that are starting: they are killed when they have started.
        for replica in self.running.drain(..) {
            // One that can't be asked to end is killed.
            let _ = self.ends.retire(replica.process);
        }
    }
}

fn duration(what: &str, seconds: f64) -> Result<Duration> {
    if !(0.0..=60.0).contains(&seconds) {
        return Err(Error::invalid(format!("{what} of {seconds} s can't be had; use 0 to 60 s")));
    }
    Ok(Duration::from_secs_f64(seconds))
}
