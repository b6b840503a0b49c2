//! Chains of hops, as a description.

use serde::{Deserialize, Serialize};

use super::Hedge;
use super::chain_run::ChainRun;
use super::hop::Hop;
use super::replay::replay;
use super::running_chain::RunningChain;
use super::stalls::Stalls;
use crate::display::progress;
use crate::error::{Error, Result};

/// Chains that are longer would need more processes than a small machine can run well.
const LONGEST: usize = 8;
/// On the virtual clock there is no such limit; this one only keeps a slip of the finger short.
const LONGEST_REPLAYED: usize = 10_000;

/// Chains of hops of some lengths, and how many calls pass each of them.
///
/// ```
/// use onramp::serving::Chain;
///
/// // One of a hundred calls stalls at each hop: of those that pass a hundred hops, 63 % are slow.
/// let run = Chain::new([1, 10, 100]).calls(2_000).replay()?;
/// assert!((run.law(100) - 0.634).abs() < 0.001);
/// assert!(run.agrees(run.point(100)?)?);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    pub(super) hops: Vec<usize>,
    pub(super) calls: usize,
    pub(super) lanes: usize,
    pub(super) work_seconds: f64,
    pub(super) stall_share: f64,
    pub(super) stall_seconds: f64,
    pub(super) hedge: Option<Hedge>,
    pub(super) replicas: usize,
    pub(super) optional: Vec<usize>,
    pub(super) deadline_seconds: f64,
    pub(super) in_this_process: bool,
    seed: u64,
}

impl Chain {
    /// 400 calls through each of these numbers of hops, one call after the other. At each hop one of a hundred calls stalls
    /// for 50 ms; hops have no other work, no hedge, and a process each. A call has 2 s.
    pub fn new(hops: impl IntoIterator<Item = usize>) -> Self {
        let stalls = Stalls::new(0);
        Self {
            hops: hops.into_iter().collect(),
            calls: 400,
            lanes: 1,
            work_seconds: 0.0,
            stall_share: stalls.share,
            stall_seconds: stalls.seconds,
            hedge: None,
            replicas: 1,
            optional: Vec::new(),
            deadline_seconds: 2.0,
            in_this_process: false,
            seed: 0,
        }
    }

    /// Calls through each chain.
    pub fn calls(mut self, calls: usize) -> Self {
        self.calls = calls;
        self
    }

    /// Calls that are under way at the same time. The replay does not know them: there nobody waits for another.
    pub fn at_once(mut self, calls: usize) -> Self {
        self.lanes = calls;
        self
    }

    /// Seconds that each hop works: a timed wait.
    pub fn work(mut self, seconds: f64) -> Self {
        self.work_seconds = seconds;
        self
    }

    /// The share of its calls that stall at a hop, and for how many seconds.
    pub fn stalls(mut self, share: f64, seconds: f64) -> Self {
        (self.stall_share, self.stall_seconds) = (share, seconds);
        self
    }

    /// Every call of a hop is hedged.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Replicas of each hop, 1 or 2: second copies go to the second one.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// This hop, counted from 1, may be missing: the one in front of it then answers without its part. The first one can't be.
    pub fn optional(mut self, hop: usize) -> Self {
        self.optional.push(hop);
        self
    }

    /// Seconds that a call may take in all.
    pub fn deadline(mut self, seconds: f64) -> Self {
        self.deadline_seconds = seconds;
        self
    }

    /// All hops in this process, still over HTTP: quicker to start, but none can be killed alone.
    pub fn in_this_process(mut self) -> Self {
        self.in_this_process = true;
        self
    }

    /// Another seed stalls at other calls.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts each chain in turn and sends the calls through it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for chains that can't be built, such as longer ones than 8 hops; [`Error::Interrupted`];
    /// what starting a hop returns. Calls that fail are part of the result.
    pub fn run(&self) -> Result<ChainRun> {
        self.validate(LONGEST)?;
        let mut points = Vec::new();
        for hops in progress("chains of hops", self.hops.iter().copied()) {
            points.push(RunningChain::start(self, hops)?.calls(self.calls)?);
        }
        Ok(ChainRun { chain: self.clone(), points })
    }

    /// The same calls on a virtual clock, through chains of any length.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense; [`Error::Interrupted`].
    pub fn replay(&self) -> Result<ChainRun> {
        self.validate(LONGEST_REPLAYED)?;
        let points = self.hops.iter().map(|hops| replay(self, *hops)).collect::<Result<_>>()?;
        Ok(ChainRun { chain: self.clone(), points })
    }

    /// Starts the longest of these chains, to send calls through by hand.
    ///
    /// # Errors
    /// As for [`Chain::run`].
    pub fn start(&self) -> Result<RunningChain> {
        self.validate(LONGEST)?;
        RunningChain::start(self, self.hops.iter().copied().max().unwrap_or(1))
    }

    /// What stalls at the hop at this place, from 1.
    pub(super) fn stalls_of(&self, position: usize) -> Stalls {
        // Far from those of the next seed.
        let seed = self.seed.wrapping_mul(LONGEST_REPLAYED as u64 + 1).wrapping_add(position as u64);
        Stalls { share: self.stall_share, seconds: self.stall_seconds, seed }
    }

    /// The hop at this place, without the way to the next one.
    pub(super) fn hop(&self, position: usize) -> Hop {
        let hop = Hop::new(name(position)).work(self.work_seconds).deadline(self.deadline_seconds);
        let stalls = self.stalls_of(position);
        hop.stalls(stalls.share, stalls.seconds).seed(stalls.seed)
    }

    pub(super) fn hedged(&self) -> String {
        self.hedge.map_or("no hedges".to_string(), |hedge| hedge.to_string())
    }

    pub(super) fn housed(&self) -> &'static str {
        if self.in_this_process {
            "Emulated hops share the process of their caller."
        } else {
            "Emulated hops are processes of their own."
        }
    }

    fn validate(&self, longest: usize) -> Result<()> {
        if self.hops.is_empty() || !self.hops.iter().all(|hops| (1..=longest).contains(hops)) {
            let further = if longest == LONGEST { "; .replay() goes further, on a virtual clock" } else { "" };
            return Err(Error::invalid(format!(
                "chains of {:?} hops can't be built; use 1 to {longest}{further}",
                self.hops
            )));
        }
        if self.calls == 0 || self.lanes == 0 || self.lanes > 64 {
            return Err(Error::invalid(format!(
                "{} calls, {} at once, can't be made; use at least one, and at most 64 at once",
                self.calls, self.lanes
            )));
        }
        if !(1..=2).contains(&self.replicas) {
            return Err(Error::invalid(format!("hops can't have {} replicas; use 1 or 2", self.replicas)));
        }
        let longest_asked = self.hops.iter().copied().max().unwrap_or(1);
        if let Some(wrong) = self.optional.iter().find(|hop| !(2..=longest_asked).contains(*hop)) {
            return Err(Error::invalid(format!(
                "hop {wrong} of {longest_asked} can't be optional; only hops behind the first one can, from 2 on"
            )));
        }
        self.hedge.as_ref().map_or(Ok(()), Hedge::validate)?;
        self.hop(1).validate()
    }
}

pub(super) fn name(position: usize) -> String {
    format!("hop {position}")
}
