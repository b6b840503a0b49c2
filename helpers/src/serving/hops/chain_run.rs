//! What came of calls through chains, beside the law.
//!
//! A hop stalls at a share q of its calls, each on its own. A call through k hops is slow when one of them stalls:
//!
//! ```text
//! slow(k) = 1 - (1 - q)^k
//! ```
//!
//! and with hedges, where a hop is slow when both copies stall, 1 - (1 - q^2)^k. How many of n calls are slow is binomial.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

use super::chain::Chain;
use crate::display::{Table, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::measure::share::percentile;
use crate::measure::{Estimate, Provenance};

/// The interval that holds all but one of a thousand runs.
const CONFIDENCE: f64 = 0.999;

/// Calls through a chain of one length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChainPoint {
    /// Hops that each call passes, k.
    pub hops: usize,
    /// Emulated when the hops were there, replayed on the virtual clock.
    pub provenance: Provenance,
    /// From a call to its answer, in seconds, one for each call that was answered, in the order of the answers.
    pub latencies_seconds: Vec<f64>,
    /// Answered calls that took as long as a stall or longer.
    pub slow: usize,
    /// Calls to whose answer a second copy came first, at one hop or more.
    pub hedged: usize,
    /// Answers in which the part of an optional hop was missing.
    pub missing: usize,
    /// What was said about each call that was not answered.
    pub failures: Vec<String>,
}

/// The result of [`Chain::run`] and [`Chain::replay`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChainRun {
    /// What was asked for.
    pub chain: Chain,
    /// One point for each length.
    pub points: Vec<ChainPoint>,
}

impl ChainPoint {
    pub(super) fn new(hops: usize, provenance: Provenance) -> Self {
        let (latencies_seconds, failures) = (Vec::new(), Vec::new());
        Self { hops, provenance, latencies_seconds, slow: 0, hedged: 0, missing: 0, failures }
    }

    /// The share of the answered calls that were slow.
    pub fn slow_share(&self) -> f64 {
        self.slow as f64 / self.latencies_seconds.len().max(1) as f64
    }

    /// The latency that this share of the answered calls did not exceed, such as 0.99 for p99, in seconds; none without calls.
    pub fn percentile_seconds(&self, share: f64) -> Option<f64> {
        let value = percentile(&mut self.latencies_seconds.clone(), share.clamp(0.0, 1.0));
        (!value.is_nan()).then_some(value)
    }
}

impl ChainRun {
    /// The share of slow calls through so many hops by the law.
    pub fn law(&self, hops: usize) -> f64 {
        let stalls = self.chain.stall_share;
        let slow = if self.chain.hedge.is_some() { stalls * stalls } else { stalls };
        1.0 - (1.0 - slow).powf(hops as f64)
    }

    /// Between which shares 99.9 % of such runs lie by the law.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a point without calls.
    pub fn interval(&self, point: &ChainPoint) -> Result<(f64, f64)> {
        let calls = point.latencies_seconds.len();
        let binomial = Binomial::new(self.law(point.hops), calls as u64)
            .ok()
            .filter(|_| calls > 0)
            .ok_or_else(|| Error::invalid(format!("{calls} calls have no share of slow ones; make at least one")))?;
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let share = |probability| binomial.inverse_cdf(probability) as f64 / calls as f64;
        Ok((share(tail), share(1.0 - tail)))
    }

    /// Whether the share of slow calls is where the law puts 99.9 % of the runs.
    ///
    /// # Errors
    /// As for [`ChainRun::interval`].
    pub fn agrees(&self, point: &ChainPoint) -> Result<bool> {
        let (low, high) = self.interval(point)?;
        Ok((low..=high).contains(&point.slow_share()))
    }

    /// The first point of so many hops.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when there is none.
    pub fn point(&self, hops: usize) -> Result<&ChainPoint> {
        self.points.iter().find(|point| point.hops == hops).ok_or_else(|| {
            let had: Vec<usize> = self.points.iter().map(|point| point.hops).collect();
            Error::invalid(format!("{hops} hops were not part of this run; it had {had:?}"))
        })
    }

    /// The points of another run of the same chain behind those of this one: real ones and replayed ones in one
    /// figure.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the other run follows another law.
    pub fn beside(mut self, other: Self) -> Result<Self> {
        if [1, 10].iter().any(|hops| self.law(*hops) != other.law(*hops)) {
            return Err(Error::invalid(format!(
                "runs with {} and {} of slow calls at one hop do not belong into one figure; use the same stalls and hedges",
                self.law(1),
                other.law(1)
            )));
        }
        self.points.extend(other.points);
        Ok(self)
    }

    /// Slow calls and the law, latencies, copies and failures for each length.
    pub fn table(&self) -> Table {
        let columns = [
            "hops",
            "provenance",
            "calls",
            "slow, %",
            "law, %",
            "99.9 % of runs, %",
            "p50, ms",
            "p99, ms",
            "won by a copy",
            "without a part",
            "failed",
        ];
        let percent = |share: f64| significant(100.0 * share);
        let chain = &self.chain;
        let mut table = Table::new("Calls through chains of hops", columns);
        for point in &self.points {
            let interval = self.interval(point).map(|(low, high)| format!("{} to {}", percent(low), percent(high)));
            let latency =
                |share| point.percentile_seconds(share).map_or(String::new(), |seconds| significant(1e3 * seconds));
            table = table.row([
                point.hops.to_string(),
                point.provenance.to_string(),
                (point.latencies_seconds.len() + point.failures.len()).to_string(),
                percent(point.slow_share()),
                percent(self.law(point.hops)),
                interval.unwrap_or_default(),
                latency(0.5),
                latency(0.99),
                point.hedged.to_string(),
                point.missing.to_string(),
                point.failures.len().to_string(),
            ]);
        }
        for point in &self.points {
            if let Some(failure) = point.failures.first() {
                table = table.note(format!("{} hops: {failure}", point.hops));
            }
        }
        let stalls = format!(
            "{} % of the calls of a hop stall for {} ms",
            percent(chain.stall_share),
            1e3 * chain.stall_seconds
        );
        table.note(format!("{stalls}, {}; a call is slow when it takes as long. {}", chain.hedged(), chain.housed()))
    }

    /// The share of slow calls against the number of hops, with the law.
    ///
    /// # Errors
    /// None in practice: every number is finite.
    pub fn figure(&self) -> Result<Figure> {
        let mut figure =
            Figure::new("Rare stalls add up along a chain").x_label("hops").y_label("slow calls in %").log_x();
        for provenance in Provenance::ALL {
            let points: Vec<&ChainPoint> = self.points.iter().filter(|point| point.provenance == provenance).collect();
            if points.is_empty() {
                continue;
            }
            let xs: Vec<f64> = points.iter().map(|point| point.hops as f64).collect();
            let shares = points.iter().map(|point| {
                let (low, high) = self.interval(point)?;
                let share = 100.0 * point.slow_share();
                // What was found, and how far chance moves it.
                let (low, high) = (share.min(100.0 * low), share.max(100.0 * high));
                Ok(Estimate { median: share, low, high, samples: vec![share] })
            });
            figure = figure.points("slow calls", provenance, &xs, &shares.collect::<Result<Vec<_>>>()?)?;
        }
        let longest = self.points.iter().map(|point| point.hops).max().unwrap_or(1);
        let hops: Vec<usize> = (1..=longest).collect();
        let xs: Vec<f64> = hops.iter().map(|hops| *hops as f64).collect();
        let ys: Vec<f64> = hops.iter().map(|hops| 100.0 * self.law(*hops)).collect();
        figure.line("law", &xs, &ys)
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
