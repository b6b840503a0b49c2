//! What a worker thread makes of a call: its part of the rounds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::collective::Call;
use super::endpoint::Endpoint;
use super::port::wait_until;
use super::{Action, Algorithm, Collective, Communicator, Round};
use crate::error::Result;

/// A worker thread's connection to the others of its [`Team`](super::Team).
pub struct ThreadCommunicator {
    endpoint: Endpoint,
    algorithm: Algorithm,
    /// The rounds of each call that was made before.
    rounds: BTreeMap<(Collective, usize), Vec<Round>>,
    calls: u64,
    /// How many times as long this worker takes between two calls.
    slowness: f64,
    last_call_ended: Instant,
}

impl ThreadCommunicator {
    pub(super) fn new(endpoint: Endpoint, algorithm: Algorithm, slowness: f64) -> Self {
        let (rounds, last_call_ended) = (BTreeMap::new(), Instant::now());
        Self { endpoint, algorithm, rounds, calls: 0, slowness, last_call_ended }
    }

    fn carry_out(&mut self, collective: Collective, values: &mut [f32]) -> Result<()> {
        collective.validate(self.world_size())?;
        self.calls += 1;
        let call = Call { number: self.calls, collective, elements: values.len() };
        let done = self.dawdle().and_then(|()| self.exchange(call, values));
        // Noted here and not where the thread ends, because the program may go on after an error.
        match &done {
            Ok(()) => self.endpoint.watch().works(self.rank()),
            Err(error) => self.endpoint.watch().fails(self.rank(), &error.to_string()),
        }
        self.last_call_ended = Instant::now();
        done
    }

    /// Sleeps for as long as a slower worker would still compute.
    fn dawdle(&self) -> Result<()> {
        if self.slowness <= 1.0 {
            return Ok(());
        }
        let longer = self.last_call_ended.elapsed().as_secs_f64() * (self.slowness - 1.0);
        // Factors that ask for longer than a clock can hold are as good as one that asks for an hour.
        let longer = Duration::try_from_secs_f64(longer).unwrap_or(Duration::from_secs(3600));
        wait_until(Instant::now() + longer, || self.endpoint.watch().look(self.rank()))
    }

    fn exchange(&mut self, call: Call, values: &mut [f32]) -> Result<()> {
        let (rank, world_size) = (self.rank(), self.world_size());
        self.endpoint.watch().calls(rank, call)?;
        let rounds = self
            .rounds
            .entry((call.collective, call.elements))
            .or_insert_with(|| call.collective.rounds(world_size, call.elements));
        for round in rounds.iter() {
            for transfer in round.iter().filter(|transfer| transfer.from == rank) {
                self.endpoint.send(call, transfer.to, &values[transfer.elements.clone()])?;
            }
            for transfer in round.iter().filter(|transfer| transfer.to == rank) {
                let own = &mut values[transfer.elements.clone()];
                // The same call has the same rounds, so the lengths agree.
                self.endpoint.receive(call, transfer.from, |received| match transfer.action {
                    Action::Add => own.iter_mut().zip(received).for_each(|(own, other)| *own += other),
                    Action::Replace => own.copy_from_slice(received),
                })?;
            }
        }
        Ok(())
    }
}

impl Communicator for ThreadCommunicator {
    fn rank(&self) -> usize {
        self.endpoint.rank()
    }

    fn world_size(&self) -> usize {
        self.endpoint.world_size()
    }

    fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<()> {
        self.carry_out(Collective::AllReduce(self.algorithm), values)
    }

    fn reduce_scatter_sum(&mut self, values: &mut [f32]) -> Result<Range<usize>> {
        self.carry_out(Collective::ReduceScatter, values)?;
        Ok(self.chunk(values.len()))
    }

    fn all_gather(&mut self, values: &mut [f32]) -> Result<()> {
        self.carry_out(Collective::AllGather, values)
    }

    fn broadcast(&mut self, values: &mut [f32], root: usize) -> Result<()> {
        self.carry_out(Collective::Broadcast { root }, values)
    }

    fn barrier(&mut self) -> Result<()> {
        self.carry_out(Collective::Barrier, &mut [])
    }
}
