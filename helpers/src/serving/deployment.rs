//! Replicas of one service behind a balancer.

use serde::{Deserialize, Serialize};

use super::balancer::{Balancer, BalancerLoad, Policy, Program, RunningBalancer};
use super::server::Server;
use super::service::{Service, ServiceProcess};
use crate::display::Table;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// A service that runs several times, each time as a process of its own, behind one address.
///
/// ```
/// use onramp::prelude::*;
///
/// let server = Server::timed(ServiceTime::constant(0.005));
/// let mut running = Deployment::new(server).replicas(2).policy(Policy::LeastConnections).start()?;
/// println!("POST rows to {}/predict", running.url());
/// running.kill(0)?;                 // as a crash would; the other goes on
/// running.restart(0)?;
/// assert_eq!(running.add_replica()?, 2);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    replica: Service,
    replicas: usize,
    balancer: Balancer,
}

/// A deployment that runs. All of its processes end when this value goes.
#[derive(Debug)]
pub struct RunningDeployment {
    description: Deployment,
    balancer: RunningBalancer,
    /// A replica's place is its number, and that of its backend.
    replicas: Vec<ServiceProcess>,
}

impl Deployment {
    /// One replica of this service, round robin, with HAProxy where it is installed.
    pub fn new(replica: impl Into<Service>) -> Self {
        Self { replica: replica.into(), replicas: 1, balancer: Balancer::new(Vec::<String>::new()) }
    }

    /// How many replicas.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// By which rule a request's replica is chosen.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.balancer = self.balancer.policy(policy);
        self
    }

    /// Whether requests that may be done twice are sent to another replica when theirs breaks off:
    /// [`Balancer::retry_idempotent`].
    pub fn retry_idempotent(mut self, retry: bool) -> Self {
        self.balancer = self.balancer.retry_idempotent(retry);
        self
    }

    /// Which program balances.
    pub fn with(mut self, program: Program) -> Self {
        self.balancer = self.balancer.with(program);
        self
    }

    /// All of the balancer's settings at once; its backends are the replicas, and no others.
    pub fn behind(mut self, balancer: Balancer) -> Self {
        self.balancer = balancer.with_backends(Vec::<String>::new());
        self
    }

    /// Starts the replicas and then the balancer, and waits until all of them listen.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no replica or a setting that can't be; [`Error::Worker`] with the replica's number and its log
    /// when one does not start. What had started by then ends.
    pub fn start(&self) -> Result<RunningDeployment> {
        if self.replicas == 0 {
            return Err(Error::invalid("a deployment of 0 replicas answers nobody; use at least 1"));
        }
        self.balancer.check()?;
        let replicas: Vec<ServiceProcess> =
            (0..self.replicas).map(|number| self.replica(number)).collect::<Result<_>>()?;
        let balancer = self.balancer.clone().with_backends(replicas.iter().map(ServiceProcess::address)).start()?;
        Ok(RunningDeployment { description: self.clone(), balancer, replicas })
    }

    fn replica(&self, number: usize) -> Result<ServiceProcess> {
        check_interrupt()?;
        self.replica.start().map_err(|error| match error {
            Error::Interrupted | Error::InvalidInput(_) => error,
            error => Error::Worker(format!("replica {number} did not start: {error}")),
        })
    }
}

impl RunningDeployment {
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
        let number = self.replicas.len();
        let process = self.description.replica(number)?;
        self.balancer.add_backend(process.address())?;
        self.replicas.push(process);
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
        self.balancer.remove_backend(self.replicas.len() - 1)?;
        self.replicas.pop().map_or(Ok(()), |mut process| process.stop())
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

impl From<Server> for Service {
    fn from(server: Server) -> Self {
        Self::Server(server)
    }
}
