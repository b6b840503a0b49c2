//! A chain on a virtual clock.
//!
//! Every hop calls the next one as soon as it is called, so at 0 s all of them are under way, and the answer comes back from the
//! last one: a hop that has the answer of those behind it at D gives its own at D plus its work and its stall. Where the caller
//! hedges, a second copy begins after the delay, has the same answer of those behind it (a call is worked for once), and its
//! own stall. Nothing is added for the network.

use super::chain_run::ChainPoint;
use super::description::Chain;
use crate::error::Result;
use crate::interrupt::check_interrupt;
use crate::measure::Provenance;

/// Calls between two looks at whether to stop.
const LOOK: u64 = 256;

/// All calls of a chain of so many hops.
pub(super) fn replay(chain: &Chain, hops: usize) -> Result<ChainPoint> {
    let all: Vec<_> = (1..=hops).map(|position| chain.stalls_of(position)).collect();
    let mut hedges =
        (0..hops).map(|_| chain.hedge.map(|hedge| hedge.start()).transpose()).collect::<Result<Vec<_>>>()?;
    let mut point = ChainPoint::new(hops, Provenance::Replayed);
    for call in 0..chain.calls as u64 {
        if call.is_multiple_of(LOOK) {
            check_interrupt()?;
        }
        let (mut done, mut hedged) = (0.0, false);
        for (stalls, hedging) in all.iter().zip(&mut hedges).rev() {
            let behind: f64 = done;
            done = behind + chain.work_seconds + stalls.of(call, 1);
            if let Some(hedging) = hedging {
                hedging.begin();
                let late = hedging.delay_seconds().filter(|delay| *delay < done);
                if let Some(delay) = late.filter(|_| hedging.take_copy()) {
                    let second = behind.max(delay) + chain.work_seconds + stalls.of(call, 2);
                    hedged |= second < done;
                    done = done.min(second);
                }
                hedging.record(done);
            }
        }
        point.latencies_seconds.push(done);
        point.slow += usize::from(done >= chain.stall_seconds);
        point.hedged += usize::from(hedged);
    }
    Ok(point)
}
