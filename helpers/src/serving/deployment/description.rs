//! Replicas of one service, as a description.

use serde::{Deserialize, Serialize};

use super::RunningDeployment;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::serving::{Balancer, Policy, Program, Server, Service, ServiceProcess};

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
    pub(super) replica: Service,
    replicas: usize,
    balancer: Balancer,
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
        Ok(RunningDeployment::new(self, balancer, replicas))
    }

    /// Starts the replica with this number.
    pub(super) fn replica(&self, number: usize) -> Result<ServiceProcess> {
        check_interrupt()?;
        self.replica.start().map_err(|error| match error {
            Error::Interrupted | Error::InvalidInput(_) => error,
            error => Error::Worker(format!("replica {number} did not start: {error}")),
        })
    }
}

impl From<Server> for Service {
    fn from(server: Server) -> Self {
        Self::Server(server)
    }
}
