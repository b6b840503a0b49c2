//! A deployment that runs.

use super::{Deployment, Scaling};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::serving::{BalancerLoad, Program, RunningBalancer, ServiceProcess};

/// A deployment that runs. All of its processes end when this value goes.
#[derive(Debug)]
pub struct RunningDeployment {
    pub(super) description: Deployment,
    pub(super) balancer: RunningBalancer,
    /// A replica's place is its number, and that of its backend.
    pub(super) replicas: Vec<ServiceProcess>,
    pub(super) scaling: Scaling,
}

impl RunningDeployment {
    pub(super) fn new(description: &Deployment, balancer: RunningBalancer, replicas: Vec<ServiceProcess>) -> Self {
        let scaling = Scaling::new(replicas.len());
        Self { description: description.clone(), balancer, replicas, scaling }
    }

    /// Where clients send their requests: `127.0.0.1:34567`.
    pub fn address(&self) -> &str {
        self.balancer.address()
    }

    /// The same as the beginning of an address on the web: `http://127.0.0.1:34567`.
    pub fn url(&self) -> String {
        self.balancer.url()
    }

    /// The program that balances.
    pub fn program(&self) -> Program {
        self.balancer.program()
    }

    /// What it was asked to be.
    pub fn description(&self) -> &Deployment {
        &self.description
    }

    /// How many replicas there are, dead ones included.
    pub fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// A replica's process.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a number that no replica has.
    pub fn replica(&mut self, replica: usize) -> Result<&mut ServiceProcess> {
        let there = self.replicas.len();
        self.replicas.get_mut(replica).ok_or_else(|| {
            Error::invalid(format!("there is no replica {replica}; there are {there}, and the first is number 0"))
        })
    }

    /// The balancer.
    pub fn balancer(&self) -> &RunningBalancer {
        &self.balancer
    }

    /// Kills a replica, as a crash would: the requests that it has are lost. It stays dead until [`RunningDeployment::restart`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a number that no replica has; [`Error::Io`] when the system does not let it.
    pub fn kill(&mut self, replica: usize) -> Result<()> {
        self.replica(replica)?.kill()
    }

    /// Starts a replica anew, dead or alive; one that lives finishes first what it has.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a number that no replica has; as for [`Deployment::start`] and [`RunningBalancer::resume`].
    pub fn restart(&mut self, replica: usize) -> Result<()> {
        if self.replica(replica)?.is_running()? {
            self.balancer.drain(replica)?;
            self.replicas[replica].stop()?;
        }
        let process = self.description.replica(replica)?;
        self.balancer.resume(replica, process.address())?;
        self.replicas[replica] = process;
        Ok(())
    }

    /// Starts one more replica, which gets requests once it listens, and returns its number.
    ///
    /// # Errors
    /// As for [`Deployment::start`] and [`RunningBalancer::add_backend`].
    pub fn add_replica(&mut self) -> Result<usize> {
        self.want_all()?;
        let number = self.replicas.len();
        let process = self.description.replica(number)?;
        self.balancer.add_backend(process.address())?;
        self.replicas.push(process);
        self.scaling.wanted = self.replicas.len();
        Ok(number)
    }

    /// Ends the replica with the highest number, after it has finished what it has. No request is lost.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for the last one; as for [`RunningBalancer::remove_backend`].
    pub fn remove_replica(&mut self) -> Result<()> {
        let [_, .., _] = self.replicas[..] else {
            return Err(Error::invalid("the last replica can't be removed; a deployment keeps at least 1"));
        };
        let last = self.replicas.len() - 1;
        self.balancer.drain(last)?;
        self.replicas[last].stop()?;
        self.balancer.remove_backend(last)?;
        self.replicas.truncate(last);
        self.want_all()
    }

    /// Requests that were sent to each replica, in the order of their numbers.
    ///
    /// # Errors
    /// As for [`RunningBalancer::load`].
    pub fn requests_per_replica(&self) -> Result<Vec<u64>> {
        Ok(self.load()?.requests())
    }

    /// The balancer's own counts, now.
    ///
    /// # Errors
    /// As for [`RunningBalancer::load`].
    pub fn load(&self) -> Result<BalancerLoad> {
        self.balancer.load()
    }

    /// A row for each replica.
    ///
    /// # Errors
    /// As for [`RunningBalancer::load`].
    pub fn table(&self) -> Result<Table> {
        self.balancer.table()
    }

    /// Shows the table below the cell.
    pub fn evcxr_display(&self) {
        self.balancer.evcxr_display();
    }

    /// Takes no more requests, finishes those that are under way, and ends all processes.
    ///
    /// # Errors
    /// As for [`RunningBalancer::stop`] and [`ServiceProcess::stop`].
    pub fn stop(mut self) -> Result<()> {
        self.balancer.stop()?;
        self.replicas.iter_mut().try_for_each(ServiceProcess::stop)
    }
}
