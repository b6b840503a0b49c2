//! The embedded balancer as a process that takes orders.

use tempfile::TempDir;

use super::orders::{Answer, Order};
use crate::error::{Error, Result};
use crate::serving::balancer::control::{self, Process};
use crate::serving::balancer::{Balancer, BalancerLoad, Program};
use crate::serving::service::{Service, ServiceProcess};

/// An embedded balancer that runs.
#[derive(Debug)]
pub(in crate::serving::balancer) struct Embedded {
    process: ServiceProcess,
    folder: TempDir,
}

impl Embedded {
    pub(in crate::serving::balancer) fn start(balancer: &Balancer) -> Result<Self> {
        let folder = control::folder()?;
        let balancer = Balancer { control: folder.path().join(control::SOCKET), ..balancer.clone() };
        let process = Service::Balancer(balancer).start()?;
        Ok(Self { process, folder })
    }

    fn order(&self, order: &Order) -> Result<BalancerLoad> {
        let line = serde_json::to_string(order)
            .map_err(|cause| Error::invalid(format!("this order can't be written as JSON: {cause}")))?;
        let text = control::ask(&self.folder.path().join(control::SOCKET), &line)?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|cause| Error::Service(format!("the balancer answered '{text}', which is no answer: {cause}")))?;
        answer.map_err(Error::Service)
    }
}

impl Process for Embedded {
    fn program(&self) -> Program {
        Program::Embedded
    }

    fn address(&self) -> &str {
        self.process.address()
    }

    fn process_id(&self) -> u32 {
        self.process.process_id()
    }

    fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }

    fn log(&self) -> String {
        self.process.log()
    }

    fn add(&self, number: usize, address: &str) -> Result<()> {
        self.order(&Order::Put { number, address: address.to_string() }).map(drop)
    }

    fn pause(&self, number: usize) -> Result<()> {
        self.order(&Order::Pause { number }).map(drop)
    }

    fn resume(&self, number: usize, address: &str) -> Result<()> {
        self.add(number, address)
    }

    fn remove(&self, number: usize) -> Result<bool> {
        self.order(&Order::Remove { number }).map(|_| true)
    }

    fn load(&self) -> Result<BalancerLoad> {
        self.order(&Order::Load)
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
