//! A request that passes several services: what their rare slow moments add up to, and what helps.
//!
//! - [`Hop`]: one service of the chain; it calls the next one, with a deadline, a hedge, a circuit breaker and a fallback
//! - [`Chain`]: chains of one to eight hops on this machine ([`Chain::run`]), and of any length on a virtual clock
//!   ([`Chain::replay`])
//! - [`ChainRun`]: their latencies beside the law
//! - [`RunningChain`]: a chain to send calls through, and to take a hop out of
//! - [`Hedge`]: when a second copy of a call is sent, and how many at most

mod answer;
mod breaker;
mod caller;
mod chain_run;
mod description;
mod hedge;
mod hop;
mod hop_service;
mod replay;
mod running_chain;
mod stalls;

pub use answer::{ChainAnswer, Visit};
pub use chain_run::{ChainPoint, ChainRun};
pub use description::Chain;
pub use hedge::Hedge;
pub use hop::Hop;
pub use running_chain::RunningChain;
