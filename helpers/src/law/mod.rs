//! Laws: short formulas that say how a system scales, fitted to the learner's own points.
//!
//! - [`Law`]: a formula with parameters; [`fit`] finds them and their 95 % intervals
//! - [`Fit`]: the result, which also says when the law does *not* hold
//! - [`HalfEfficiency`]: efficiency against rows per worker, `e(b) = (b + b0) / (b + b0 + bT)`
//! - [`Amdahl`], [`Gustafson`]: speed-up with a serial share, for work that stays the same and for work that grows
//! - [`Usl`]: throughput that peaks and falls again, from contention and coherency
//! - [`AllReduceTime`]: seconds of an all-reduce, from the latency and the rate of the links
//! - [`PowerLaw`]: an error that falls with more data or parameters, down to a floor
//! - [`Queue`], [`PollaczekKhinchine`], [`Little`]: how long requests wait in line, and [`QueueReplay`] where no formula says it
//! - [`CacheHits`], [`Lru`]: what share of requests a cache answers
//! - [`Roofline`], [`Roof`]: what a machine can reach, and whether memory or arithmetic limits a run

mod agreement;
mod all_reduce_time;
mod amdahl;
mod batch_seconds;
mod cache_hits;
mod fit;
mod gustafson;
mod half_efficiency;
mod least_squares;
mod little;
mod parameter;
mod pollaczek_khinchine;
mod power_law;
mod queue;
mod queue_replay;
mod queue_replay_run;
mod roof;
mod roofline;
mod uncertainty;
mod usl;
mod workers;

use serde::{Deserialize, Serialize};

pub use agreement::TOLERANCE;
pub use all_reduce_time::AllReduceTime;
pub use amdahl::Amdahl;
pub use batch_seconds::BatchSeconds;
pub use cache_hits::{CacheHits, Lru};
pub use fit::Fit;
pub use gustafson::Gustafson;
pub use half_efficiency::HalfEfficiency;
pub use least_squares::fit;
pub(crate) use least_squares::weighted_line;
pub use little::Little;
pub use parameter::{Parameter, Predicted};
pub use pollaczek_khinchine::PollaczekKhinchine;
pub use power_law::PowerLaw;
pub use queue::Queue;
pub use queue_replay::QueueReplay;
pub use queue_replay_run::QueueReplayRun;
pub use roof::{Limit, Placed, Roof};
pub use roofline::Roofline;
pub use usl::Usl;

use crate::error::Error;
use crate::measure::{Estimate, Provenance};

/// One measured point of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What was varied, for example rows per worker.
    pub x: f64,
    /// What came out, with its interval.
    pub y: Estimate,
    /// Where `y` came from.
    pub provenance: Provenance,
}

impl Point {
    /// A point at `x`.
    pub fn new(x: f64, y: Estimate, provenance: Provenance) -> Point {
        Point { x, y, provenance }
    }
}

/// A number in a formula, as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The letter in the formula, such as `b0`.
    pub symbol: &'static str,
    /// Its unit, such as `rows`; empty for a pure number.
    pub unit: &'static str,
    /// What it stands for, in a few words.
    pub meaning: &'static str,
}

/// A number computed from a law's parameters.
#[derive(Debug, Clone, Copy)]
pub struct Derived {
    /// Its name, unit and meaning.
    pub symbol: Symbol,
    /// Computes it from the parameters, which come in the order of [`Law::parameters`].
    pub value: fn(&[f64]) -> f64,
    /// True when only a number above 0 makes sense: its interval is then a factor to either side instead of a distance.
    pub positive: bool,
    /// True when it is a value of x, which figures mark.
    pub on_x: bool,
}

/// What the axes of a law's curve show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes {
    /// The varied quantity with its unit.
    pub x_label: &'static str,
    /// The resulting quantity with its unit.
    pub y_label: &'static str,
    /// True when the vertical axis is logarithmic; the horizontal one always is.
    pub log_y: bool,
}

/// A formula `y = f(x)` with a few parameters, all of them zero or more, and with `x` and `y` above zero.
pub trait Law {
    /// The law's name, as a title.
    fn name(&self) -> &'static str;

    /// The formula as text.
    fn formula(&self) -> &'static str;

    /// The parameters, in the order in which [`Law::value`] takes them.
    fn parameters(&self) -> &'static [Symbol];

    /// Numbers that follow from the parameters and answer a question of their own.
    fn derived(&self) -> &'static [Derived];

    /// What the curve's axes show.
    fn axes(&self) -> Axes;

    /// The largest value that the parameter at this place can have; an infinite one by default.
    fn upper_bound(&self, _place: usize) -> f64 {
        f64::INFINITY
    }

    /// Refuses points that have no meaning in this law, such as half a worker.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] with the point and what to do.
    fn check(&self, _points: &[Point]) -> Result<(), Error> {
        Ok(())
    }

    /// False where the formula's value is the same for all parameters, so that a point says nothing about them. Such a
    /// point is shown and judged, but neither fitted nor counted.
    fn informs(&self, _x: f64) -> bool {
        true
    }

    /// The formula: `y` at `x`.
    fn value(&self, parameters: &[f64], x: f64) -> f64;

    /// Parameters near the points, all above zero, finite and below their bounds, from which the fit starts.
    fn guess(&self, points: &[Point]) -> Vec<f64>;

    /// What the fitted numbers say that a reader should know, beyond the checks that every fit gets.
    fn remarks(&self, _points: &[Point], _parameters: &[Parameter]) -> Vec<String> {
        Vec::new()
    }
}
