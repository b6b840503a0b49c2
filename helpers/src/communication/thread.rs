//! What a worker thread makes of a call: its part of the rounds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::collective::{Call, Operation};
use super::endpoint::Endpoint;
use super::loan::Lender;
use super::pieces::Lists;
use super::port::wait_until;
use super::{Algorithm, Collective, Communicator, Round};
use crate::error::{Error, Result};

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
        self.carry_out_coalesced(collective, &mut [values])
    }

    fn carry_out_coalesced(&mut self, collective: Collective, lists: &mut [&mut [f32]]) -> Result<()> {
        collective.validate(self.world_size())?;
        let call = self.collective_call(collective, lists.iter().map(|list| list.len()).sum());
        self.make(call, |worker| worker.exchange(call, collective, &Lists::new(lists)))
    }

    fn collective_call(&mut self, collective: Collective, elements: usize) -> Call {
        self.calls += 1;
        Call { number: self.calls, operation: Operation::Together(collective), elements }
    }

    /// Does what a call asks for, and keeps the others informed.
    fn make<T>(&mut self, call: Call, exchange: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let noted = self.dawdle().and_then(|()| self.endpoint.watch().calls(self.rank(), call));
        let done = noted.and_then(|()| exchange(self));
        // Noted here and not where the thread ends, because the program may go on after an error.
        match &done {
            Ok(_) => self.endpoint.watch().works(self.rank()),
            Err(error) => self.endpoint.watch().fails(self.rank(), &error.to_string()),
        }
        self.last_call_ended = Instant::now();
        done
    }

    /// Refuses a partner that is not there.
    fn check_partner(&self, other: usize, what: &str) -> Result<()> {
        if other == self.rank() || other >= self.world_size() {
            return Err(Error::invalid(format!(
                "worker {} can't {what} worker {other}; use another worker's number, from 0 to {}",
                self.rank(),
                self.world_size() - 1
            )));
        }
        Ok(())
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

    fn exchange(&mut self, call: Call, collective: Collective, lists: &Lists) -> Result<()> {
        let (rank, world_size) = (self.rank(), self.world_size());
        let rounds = self
            .rounds
            .entry((collective, call.elements))
            .or_insert_with(|| collective.rounds(world_size, call.elements));
        for round in rounds.iter() {
            let mut lenders = Vec::new();
            let played = play(&mut self.endpoint, call, round, lists, &mut lenders);
            if let Err(error) = &played {
                // Before the lenders are gone: whoever finds a loan withdrawn should learn of this cause, not of that.
                self.endpoint.watch().fails(rank, &error.to_string());
            }
            played?;
        }
        Ok(())
    }
}

/// One worker's part of a round. Whoever calls must keep `lists` as they are until all of `lenders` are dropped.
fn play(
    endpoint: &mut Endpoint,
    call: Call,
    round: &Round,
    lists: &Lists,
    lenders: &mut Vec<(Lender, usize)>,
) -> Result<()> {
    let rank = endpoint.rank();
    for transfer in round.iter().filter(|transfer| transfer.from == rank) {
        // SAFETY: what a worker sends in a round it does not receive in the same round, and nobody else writes to the lists
        // while a lender is there.
        let lender = unsafe { endpoint.lend(call, transfer.to, lists.pieces(&transfer.elements)) }?;
        lenders.extend(lender.map(|lender| (lender, transfer.to)));
    }
    for transfer in round.iter().filter(|transfer| transfer.to == rank) {
        let mut own = lists.pieces(&transfer.elements);
        // The same call has the same rounds, so the lengths agree.
        endpoint.receive(call, transfer.from, |received| {
            // SAFETY: as above, nobody reads these elements now.
            unsafe { own.take_in(received, transfer.action) }
        })?;
    }
    lenders.drain(..).try_for_each(|(lender, to)| endpoint.settle(lender, to))
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

    fn all_reduce_sum_coalesced(&mut self, lists: &mut [&mut [f32]]) -> Result<()> {
        self.carry_out_coalesced(Collective::AllReduce(self.algorithm), lists)
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

    fn all_to_all_bytes(&mut self, messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let (rank, world_size) = (self.rank(), self.world_size());
        if messages.len() != world_size {
            return Err(Error::invalid(format!(
                "{} messages were given for {world_size} workers; give one for each, in order of ranks",
                messages.len()
            )));
        }
        let call = self.collective_call(Collective::AllToAll, 0);
        self.make(call, |worker| {
            let mut messages = messages;
            let others = |ahead: usize| (rank + ahead) % world_size;
            for to in (1..world_size).map(others) {
                worker.endpoint.send_bytes(call, to, std::mem::take(&mut messages[to]))?;
            }
            for from in (1..world_size).rev().map(others) {
                messages[from] = worker.endpoint.receive_bytes(call, from)?;
            }
            Ok(messages)
        })
    }

    fn send(&mut self, to: usize, values: &[f32]) -> Result<()> {
        self.check_partner(to, "send to")?;
        let call = Call { number: self.calls, operation: Operation::Send { to }, elements: values.len() };
        self.make(call, |worker| worker.endpoint.send(call, to, values))
    }

    fn receive(&mut self, from: usize, values: &mut [f32]) -> Result<()> {
        self.check_partner(from, "receive from")?;
        let operation = Operation::Receive { from: Some(from) };
        let call = Call { number: self.calls, operation, elements: values.len() };
        self.make(call, |worker| worker.endpoint.receive(call, from, |received| values.copy_from_slice(received)))
    }

    fn receive_from_any(&mut self, values: &mut [f32]) -> Result<usize> {
        let operation = Operation::Receive { from: None };
        let call = Call { number: self.calls, operation, elements: values.len() };
        self.make(call, |worker| worker.endpoint.receive_from_any(call, |received| values.copy_from_slice(received)))
    }

    fn bytes_sent(&self) -> u64 {
        self.endpoint.bytes_sent()
    }
}
