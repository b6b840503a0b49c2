//! A deployment in the hands of an autoscaler.
//!
//! Replicas are started in threads of their own, and get requests once they listen. One that is not wanted any more gets no
//! further ones at once, and ends when it has answered those that it has.

use std::collections::BTreeMap;
use std::time::Instant;

use super::RunningDeployment;
use crate::error::{Error, Result};
use crate::measure::Provenance;
use crate::serving::scaling::{Ends, Starts};
use crate::serving::{BackendState, BalancerLoad, Replicas, Service, ServiceProcess};

/// What scaling has to remember.
#[derive(Debug)]
pub(super) struct Scaling {
    /// Replicas with a number below this one are meant to get requests.
    pub(super) wanted: usize,
    starts: Starts,
    ends: Ends,
    /// When the backends' requests were counted last, and how many each had had.
    counted: (Instant, BTreeMap<usize, u64>),
    reports: Vec<String>,
}

impl Scaling {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            wanted,
            starts: Starts::new(),
            ends: Ends::default(),
            counted: (Instant::now(), BTreeMap::new()),
            reports: Vec::new(),
        }
    }
}

impl RunningDeployment {
    /// From now on all replicas that there are, those too that were about to end, are meant to get requests.
    pub(super) fn want_all(&mut self) -> Result<()> {
        for number in self.scaling.wanted..self.replicas.len() {
            self.balancer.resume(number, self.replicas[number].address())?;
        }
        self.scaling.wanted = self.replicas.len();
        Ok(())
    }

    /// Takes in what has happened, ends those that are done, and starts what is missing. It waits for none of that, and what
    /// goes wrong with one of them is reported and tried again.
    fn tend(&mut self) -> Result<()> {
        for process in self.scaling.starts.arrivals(&mut self.scaling.reports) {
            if let Err(cause) = self.take_in(process) {
                self.scaling.reports.push(format!("a replica has started and can't get requests: {cause}"));
            }
        }
        while self.replicas.len() > self.scaling.wanted {
            match self.retire_last() {
                Ok(true) => {}
                Ok(false) => break,
                Err(cause) => {
                    self.scaling.reports.push(format!("a replica that is not wanted any more stays: {cause}"));
                    break;
                }
            }
        }
        self.scaling.ends.report(&mut self.scaling.reports);
        let missing = self.dead()?.len() + self.scaling.wanted.saturating_sub(self.replicas.len());
        let replica = self.description.replica.clone();
        self.scaling.starts.fill(missing, move || replica.start())
    }

    /// Puts a replica in the place of one that has ended, or beside the others. It ends where it is not wanted any more.
    fn take_in(&mut self, process: ServiceProcess) -> Result<()> {
        if let Some(&number) = self.dead()?.first() {
            self.balancer.resume(number, process.address())?;
            let dead = std::mem::replace(&mut self.replicas[number], process);
            let report =
                format!("replica {number} at {} ended by itself and was replaced. {}", dead.address(), dead.log());
            self.scaling.reports.push(report.trim_end().to_string());
        } else if self.replicas.len() < self.scaling.wanted {
            self.balancer.add_backend(process.address())?;
            self.replicas.push(process);
        }
        Ok(())
    }

    /// Ends the last replica if it has answered all that it had, and returns whether it had.
    fn retire_last(&mut self) -> Result<bool> {
        let gone = self.balancer.try_remove(self.replicas.len() - 1)?;
        if let Some(process) = self.replicas.pop_if(|_| gone) {
            self.scaling.ends.retire(process)?;
        }
        Ok(gone)
    }

    /// The numbers of the replicas that are wanted and have ended.
    fn dead(&mut self) -> Result<Vec<usize>> {
        let wanted = self.replicas.iter_mut().take(self.scaling.wanted).enumerate();
        let ended = wanted.filter_map(|(number, replica)| match replica.is_running() {
            Ok(true) => None,
            Ok(false) => Some(Ok(number)),
            Err(error) => Some(Err(error)),
        });
        ended.collect()
    }

    /// The balancer's counts; none when it does not tell them this time.
    fn load_if_told(&mut self) -> Option<BalancerLoad> {
        let told = |cause: &Error| self.scaling.reports.push(format!("the balancer did not tell its counts: {cause}"));
        self.balancer.load().inspect_err(told).ok()
    }
}

/// The metric is requests per second that the balancer sends to a ready replica.
impl Replicas for RunningDeployment {
    fn wanted(&self) -> usize {
        self.scaling.wanted
    }

    fn ready(&mut self) -> Result<usize> {
        self.tend()?;
        if !self.balancer.is_running()? {
            return Err(Error::Service(format!("the balancer ended by itself. {}", self.balancer.log())));
        }
        if self.dead()?.len() == self.scaling.wanted.min(self.replicas.len()) {
            self.scaling.starts.check_hope()?;
        }
        Ok(self.load_if_told().map_or(0, |load| up(&load)))
    }

    fn scale_to(&mut self, replicas: usize) -> Result<()> {
        if replicas == 0 {
            return Err(Error::invalid("a deployment can't be scaled to 0 replicas; it keeps at least 1"));
        }
        let before = std::mem::replace(&mut self.scaling.wanted, replicas);
        let there = self.replicas.len();
        for number in replicas..before.min(there) {
            self.balancer.pause(number)?;
        }
        for number in before..replicas.min(there) {
            self.balancer.resume(number, self.replicas[number].address())?;
        }
        if replicas != before {
            self.scaling.starts.forget_failures();
        }
        self.tend()
    }

    fn metric(&mut self) -> Result<Option<f64>> {
        self.tend()?;
        let Some(load) = self.load_if_told() else { return Ok(None) };
        let ready = up(&load);
        let requests = load.backends.iter().map(|backend| (backend.number, backend.requests)).collect();
        let (since, before) = std::mem::replace(&mut self.scaling.counted, (Instant::now(), requests));
        let seconds = self.scaling.counted.0.duration_since(since).as_secs_f64();
        // A backend with the number of one that is gone counts from 0.
        let had = |number: &usize| before.get(number).copied().unwrap_or(0);
        let new = |(number, now): (&usize, &u64)| now.checked_sub(had(number)).unwrap_or(*now);
        let new: u64 = self.scaling.counted.1.iter().map(new).sum();
        Ok((ready > 0 && seconds > 0.0).then(|| new as f64 / seconds / ready as f64))
    }

    fn reports(&mut self) -> Vec<String> {
        std::mem::take(&mut self.scaling.reports)
    }

    fn provenance(&self) -> Provenance {
        match &self.description.replica {
            Service::Server(server) if !server.is_timed() => Provenance::Measured,
            Service::Server(_) | Service::Hop(_) => Provenance::Emulated,
            Service::StateServer(_) | Service::Balancer(_) => Provenance::Measured,
        }
    }

    fn end(self) -> Result<()> {
        self.stop()
    }
}

/// How many backends get requests.
fn up(load: &BalancerLoad) -> usize {
    load.backends.iter().filter(|backend| backend.state == BackendState::Up).count()
}
