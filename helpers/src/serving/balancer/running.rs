//! A balancer that runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::control::Process;
use super::description::check_address;
use super::{BackendLoad, Balancer, BalancerLoad, Program};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

const LOOK: Duration = Duration::from_millis(5);
/// A backend that is done is gone by then.
const REMOVAL: Duration = Duration::from_secs(5);

/// A balancer that runs, as a process of its own. It ends when this value goes.
#[derive(Debug)]
pub struct RunningBalancer {
    description: Balancer,
    /// Addresses by number.
    backends: BTreeMap<usize, String>,
    process: Box<dyn Process>,
}

impl RunningBalancer {
    pub(super) fn new(description: &Balancer, process: Box<dyn Process>) -> Self {
        let backends = description.backends.iter().cloned().enumerate().collect();
        Self { description: description.clone(), backends, process }
    }

    /// Where it listens: `127.0.0.1:34567`.
    pub fn address(&self) -> &str {
        self.process.address()
    }

    /// The same as the beginning of an address on the web: `http://127.0.0.1:34567`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The program that balances.
    pub fn program(&self) -> Program {
        self.process.program()
    }

    /// The system's number of its process.
    pub fn process_id(&self) -> u32 {
        self.process.process_id()
    }

    /// What it was asked to do.
    pub fn description(&self) -> &Balancer {
        &self.description
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// [`Error::Io`] when the system does not say.
    pub fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }

    /// The end of what it wrote to its log: warnings, and backends that come and go.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Backends by number.
    pub fn backends(&self) -> &BTreeMap<usize, String> {
        &self.backends
    }

    /// Adds a backend, which gets requests from now on, and returns its number: the lowest that is free. No request is lost.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for what is no address or is there already; [`Error::Io`] or [`Error::Service`] when the balancer
    /// does not answer or refuses.
    pub fn add_backend(&mut self, address: &str) -> Result<usize> {
        check_address(address)?;
        if let Some((number, _)) = self.backends.iter().find(|(_, known)| *known == address) {
            return Err(Error::invalid(format!("the backend {address} is there already, as number {number}")));
        }
        let number = (0..).find(|number| !self.backends.contains_key(number)).unwrap_or(self.backends.len());
        self.process.add(number, address)?;
        self.backends.insert(number, address.to_string());
        Ok(number)
    }

    /// Removes a backend: it gets no more requests, this waits until it has answered those that it has, and then it is gone. No
    /// request is lost.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a number that no backend has; [`Error::Service`] when the backend still has requests after
    /// the longest time that an answer may take, in which case it stays without new ones; [`Error::Interrupted`].
    pub fn remove_backend(&mut self, number: usize) -> Result<()> {
        self.drain(number)?;
        let start = Instant::now();
        while !self.try_remove(number)? {
            check_interrupt()?;
            if start.elapsed() > REMOVAL {
                return Err(Error::Service(format!(
                    "the balancer keeps connections to backend {number} and can't forget it; it gets no new requests: try \
                     again later"
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Removes a paused backend if it has answered all that it had, and returns whether it is gone; waits for nothing.
    pub(in crate::serving) fn try_remove(&mut self, number: usize) -> Result<bool> {
        let gone = self.backend_load(number)?.unfinished() == 0 && self.process.remove(number)?;
        if gone {
            self.backends.remove(&number);
        }
        Ok(gone)
    }

    /// Sends nothing more to a backend and waits until it has answered what it has.
    ///
    /// # Errors
    /// As for [`RunningBalancer::remove_backend`].
    pub fn drain(&mut self, number: usize) -> Result<()> {
        self.pause(number)?;
        let start = Instant::now();
        loop {
            let backend = self.backend_load(number)?;
            let left = backend.unfinished();
            if left == 0 {
                return Ok(());
            }
            check_interrupt()?;
            if start.elapsed().as_secs_f64() > self.description.answer_seconds + self.description.queue_seconds {
                return Err(Error::Service(format!(
                    "backend {number} at {} still has {left} requests after {} s; it gets no new ones: try again later, or \
                     stop it",
                    backend.address,
                    start.elapsed().as_secs()
                )));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Sends nothing more to a backend.
    pub(in crate::serving) fn pause(&mut self, number: usize) -> Result<()> {
        self.known(number)?;
        self.process.pause(number)
    }

    /// Sends requests to a backend again that was drained, or that went down, at the address where it is now.
    ///
    /// # Errors
    /// As for [`RunningBalancer::add_backend`], and [`Error::InvalidInput`] for a number that no backend has.
    pub fn resume(&mut self, number: usize, address: &str) -> Result<()> {
        self.known(number)?;
        check_address(address)?;
        self.process.pause(number)?;
        self.process.resume(number, address)?;
        self.backends.insert(number, address.to_string());
        Ok(())
    }

    /// The balancer's own counts, now.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Service`] when it does not answer.
    pub fn load(&self) -> Result<BalancerLoad> {
        let mut load = self.process.load()?;
        load.backends.sort_by_key(|backend| backend.number);
        Ok(load)
    }

    /// The balancer's own counts as a table that says which program ran.
    ///
    /// # Errors
    /// As for [`RunningBalancer::load`].
    pub fn table(&self) -> Result<Table> {
        Ok(self.load()?.table())
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        match self.table() {
            Ok(table) => table.evcxr_display(),
            Err(error) => println!("{error}"),
        }
    }

    /// Takes no more requests, finishes those that it has, and ends. For them the embedded balancer has 10 seconds, and HAProxy
    /// as long as an answer may take.
    ///
    /// # Errors
    /// [`Error::Worker`] when some took longer and were cut off, [`Error::Interrupted`].
    pub fn stop(mut self) -> Result<()> {
        self.process.stop()
    }

    fn backend_load(&self, number: usize) -> Result<BackendLoad> {
        let found = self.process.load()?.backends.into_iter().find(|backend| backend.number == number);
        found.ok_or_else(|| Error::Service(format!("the balancer does not know its backend {number} any more")))
    }

    fn known(&self, number: usize) -> Result<()> {
        if self.backends.contains_key(&number) {
            return Ok(());
        }
        let numbers: Vec<String> = self.backends.keys().map(usize::to_string).collect();
        Err(Error::invalid(format!("there is no backend {number}; there are {}", numbers.join(", "))))
    }
}
