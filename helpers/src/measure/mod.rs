//! Honest measuring: repeats, an interval around every number, and where each number came from.
//!
//! - [`Estimate`]: the median of the samples with a 95 % bootstrap interval; the samples are kept
//! - [`interleaved`]: warm-ups first, then the variants in turn, round after round
//! - [`Latencies`]: a distribution of durations, of which any percentile can be asked later
//! - [`Peaks`]: how fast a device copies memory and multiplies matrices
//! - [`Provenance`]: measured, emulated, replayed or published; figures draw the four differently

mod estimate;
mod interleaved;
mod latencies;
mod peaks;
mod provenance;
pub(crate) mod share;

pub use estimate::Estimate;
pub use interleaved::interleaved;
pub(crate) use interleaved::interleaved_shown;
pub use latencies::Latencies;
pub(crate) use latencies::LatencyRecorder;
pub(crate) use peaks::PeakBench;
pub use peaks::Peaks;
pub use provenance::Provenance;
