//! A chain that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use tokio::task::JoinSet;

use super::answer::{ChainAnswer, Failure};
use super::caller::{Call, Caller};
use super::chain::{Chain, name};
use super::chain_run::ChainPoint;
use super::hop::{Hop, NextHop};
use crate::error::{Error, Result};
use crate::measure::Provenance;
use crate::serving::http;
use crate::serving::runtime::{block_on, runtime};
use crate::serving::stop::{Stop, Stopper};
use crate::serving::{Service, ServiceProcess};

/// Hops, the last one of which calls nobody, and the way to the first one. They end when this value goes.
#[derive(Debug)]
pub struct RunningChain {
    chain: Chain,
    /// From the first one on, all replicas of each.
    hops: Vec<Vec<RunningHop>>,
    entrance: Arc<Caller>,
    next_call: Arc<AtomicU64>,
}

#[derive(Debug)]
enum RunningHop {
    Process(ServiceProcess),
    /// It ends when its stopper goes.
    Here {
        address: String,
        _stopper: Stopper,
    },
}

impl RunningChain {
    pub(super) fn start(chain: &Chain, length: usize) -> Result<Self> {
        let mut hops = Vec::new();
        let mut next: Option<NextHop> = None;
        // From the last one on, because each must know where the next one is.
        for position in (1..=length).rev() {
            let hop = Hop { next, ..chain.hop(position) };
            let replicas = (0..chain.replicas)
                .map(|_| RunningHop::start(&hop, chain.in_this_process))
                .collect::<Result<Vec<_>>>()?;
            next = Some(NextHop {
                name: name(position),
                addresses: replicas.iter().map(|replica| replica.address().to_string()).collect(),
                optional: chain.optional.contains(&position),
                hedge: chain.hedge,
            });
            hops.insert(0, replicas);
        }
        let next = next.ok_or_else(|| Error::invalid("a chain of 0 hops can't be built; use at least 1"))?;
        let entrance = Arc::new(Caller::new(next)?);
        Ok(Self { chain: chain.clone(), hops, entrance, next_call: Arc::default() })
    }

    /// Where the replicas of a hop listen, counted from 1.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no such hop.
    pub fn addresses(&self, hop: usize) -> Result<Vec<&str>> {
        let found = hop.checked_sub(1).and_then(|index| self.hops.get(index));
        let replicas = found.ok_or_else(|| no_such_hop(hop, self.hops.len()))?;
        Ok(replicas.iter().map(RunningHop::address).collect())
    }

    /// Kills all replicas of a hop, counted from 1, as a crash would.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is no such hop, or it shares this process; [`Error::Io`].
    pub fn kill(&mut self, hop: usize) -> Result<()> {
        let length = self.hops.len();
        let replicas = hop.checked_sub(1).and_then(|index| self.hops.get_mut(index));
        for replica in replicas.ok_or_else(|| no_such_hop(hop, length))? {
            match replica {
                RunningHop::Process(process) => process.kill()?,
                RunningHop::Here { .. } => {
                    return Err(Error::invalid(format!(
                        "{} shares this process and can't be killed alone; leave out .in_this_process()",
                        name(hop)
                    )));
                }
            }
        }
        Ok(())
    }

    /// Sends one call and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Service`] with the status and the hop that is to blame; [`Error::Interrupted`].
    pub fn call(&self) -> Result<ChainAnswer> {
        let number = self.next_call.fetch_add(1, Ordering::Relaxed);
        let sent = send(self.entrance.clone(), number, self.chain.deadline_seconds);
        block_on(async { sent.await.1.map_err(|failure| Error::Service(said(&failure))) })
    }

    /// Sends so many calls, as many at once as the chain says, and counts the slow ones.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; a call that fails is part of the result.
    pub fn calls(&self, calls: usize) -> Result<ChainPoint> {
        let mut point = ChainPoint::new(self.hops.len(), Provenance::Emulated);
        let results = block_on(self.results(calls))?;
        for (seconds, answered) in results {
            match answered {
                Ok(answer) => {
                    point.latencies_seconds.push(seconds);
                    point.slow += usize::from(seconds >= self.chain.stall_seconds);
                    point.hedged += usize::from(answer.visits.iter().any(|visit| visit.copy > 1));
                    point.missing += usize::from(!answer.missing.is_empty());
                }
                Err(failure) => point.failures.push(said(&failure)),
            }
        }
        Ok(point)
    }

    async fn results(&self, calls: usize) -> Result<Vec<Answered>> {
        let end = self.next_call.load(Ordering::Relaxed) + calls as u64;
        let mut lanes = JoinSet::new();
        for _ in 0..self.chain.lanes {
            let (entrance, next, seconds) =
                (self.entrance.clone(), self.next_call.clone(), self.chain.deadline_seconds);
            lanes.spawn(async move {
                let mut answered = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return answered;
                    }
                    answered.push(send(entrance.clone(), number, seconds).await);
                }
            });
        }
        let mut all = Vec::new();
        while let Some(lane) = lanes.join_next().await {
            all.extend(lane.map_err(|cause| Error::Worker(format!("calls were broken off: {cause}")))?);
        }
        // The lanes went past the end.
        self.next_call.store(end, Ordering::Relaxed);
        Ok(all)
    }
}

/// Seconds until the answer, and the answer.
type Answered = (f64, Result<ChainAnswer, Failure>);

async fn send(entrance: Arc<Caller>, number: u64, deadline_seconds: f64) -> Answered {
    let begun = Instant::now();
    let request_id = HeaderValue::from_str(&format!("call-{number}"));
    let call = Call {
        number,
        request_id: request_id.unwrap_or_else(|_| HeaderValue::from_static("call")),
        deadline: begun + Duration::from_secs_f64(deadline_seconds),
    };
    let answered = entrance.call(&call).await;
    (begun.elapsed().as_secs_f64(), answered)
}

fn said(failure: &Failure) -> String {
    format!("{}: {}", failure.status, failure.text)
}

fn no_such_hop(hop: usize, length: usize) -> Error {
    Error::invalid(format!("there is no hop {hop} in a chain of {length}; use 1 to {length}"))
}

impl RunningHop {
    fn start(hop: &Hop, here: bool) -> Result<Self> {
        if !here {
            return Ok(Self::Process(Service::Hop(hop.clone()).start()?));
        }
        let hop = hop.clone();
        let (stopper, stop) = Stop::pair();
        let address = block_on(async {
            let listener = hop.listener.bind().await?;
            let address = listener.local_addr().map_err(|cause| Error::io("asking for a hop's own address", cause))?;
            let prepared = hop.prepare(stop.clone()).await?;
            runtime()?.spawn(http::serve(listener, prepared, None, stop));
            Ok(address.to_string())
        })?;
        Ok(Self::Here { address, _stopper: stopper })
    }

    fn address(&self) -> &str {
        match self {
            Self::Process(process) => process.address(),
            Self::Here { address, .. } => address,
        }
    }
}
