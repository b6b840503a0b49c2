//! A log of requests to a service: when each came, what for, and with which features.
//!
//! Arrivals are a Poisson process, steady or with bursts; keys follow Zipf's law, in which the k-th most wanted of n things
//! is wanted in proportion to 1 / k^s (Breslau et al. 1999, "Web caching and Zipf-like distributions"). From a chosen row
//! on the features drift: their mean moves.
//!
//! Any part of a log can be made without the rest. A chunk of c requests lasts, at unit rate, as long as the sum of c
//! exponential gaps, which is Gamma distributed; where its requests stand in that time is uniform. So the chunks' lengths
//! are drawn first, one number each, and the requests of a chunk when they are wanted. Bursts stretch and compress this time.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, StandardNormal, Zipf};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Requests that are made at once.
pub(crate) const CHUNK: usize = 65_536;
/// Far from the streams of the chunks.
const LENGTHS_STREAM: u64 = u64::MAX;

/// A description of a log; the same description always gives the same requests.
///
/// ```
/// use onramp::data::{Arrivals, RequestLog};
///
/// let log = RequestLog::new(1_000, Arrivals::Poisson { per_second: 50.0 }).keys(100, 1.0).drift(600, 1.0);
/// let requests = log.generate()?;
/// assert_eq!(requests.len(), 1_000);
/// assert!(requests.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds));
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RequestLog {
    requests: usize,
    arrivals: Arrivals,
    keys: usize,
    zipf: f64,
    features: usize,
    drift: Option<Drift>,
    seed: u64,
}

/// When requests come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Independently of each other, at a steady rate.
    Poisson {
        /// Mean requests per second.
        per_second: f64,
    },
    /// Likewise, but each period begins with a burst.
    Bursts {
        /// Mean requests per second outside of bursts.
        per_second: f64,
        /// How many times as many come in a burst.
        factor: f64,
        /// Seconds from the start of one burst to that of the next.
        period: f64,
        /// Seconds that a burst lasts.
        length: f64,
    },
}

/// A change of the features' mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Drift {
    /// The first row after it.
    row: usize,
    /// By so many standard deviations.
    shift: f64,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Seconds since the log began.
    pub seconds: f64,
    /// What is asked for, from 0, the most wanted, on.
    pub key: u32,
    /// Normal numbers with variance 1, and mean 0 before the drift.
    pub features: Vec<f32>,
}

/// The lengths of all chunks at unit rate, and with them where each begins.
pub(crate) struct Clock {
    starts: Vec<f64>,
}

impl Arrivals {
    /// From time at unit rate to seconds: the inverse of the mean number of requests up to a moment.
    fn seconds(&self, unit: f64) -> f64 {
        match *self {
            Self::Poisson { per_second } => unit / per_second,
            Self::Bursts { per_second, factor, period, length } => {
                let in_burst = per_second * factor * length;
                let in_period = in_burst + per_second * (period - length);
                let (whole, rest) = ((unit / in_period).floor(), unit % in_period);
                let within = if rest < in_burst {
                    rest / (per_second * factor)
                } else {
                    length + (rest - in_burst) / per_second
                };
                whole * period + within
            }
        }
    }

    fn validate(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let sensible = match *self {
            Self::Poisson { per_second } => positive(per_second),
            Self::Bursts { per_second, factor, period, length } => {
                [per_second, factor, period, length].into_iter().all(positive) && length < period
            }
        };
        if sensible {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "requests can't arrive as {self:?}; all numbers must be above 0, and a burst shorter than the period"
        )))
    }
}

impl RequestLog {
    /// So many requests for 10,000 keys by Zipf's law with s = 1, with 8 features each and no drift.
    pub fn new(requests: usize, arrivals: Arrivals) -> Self {
        Self { requests, arrivals, keys: 10_000, zipf: 1.0, features: 8, drift: None, seed: 0 }
    }

    /// How many keys there are, and the exponent of Zipf's law: 0 for keys that are all wanted alike.
    pub fn keys(mut self, keys: usize, zipf: f64) -> Self {
        (self.keys, self.zipf) = (keys, zipf);
        self
    }

    /// Numbers that come with each request.
    pub fn features(mut self, features: usize) -> Self {
        self.features = features;
        self
    }

    /// From this row on the mean of each feature is higher by so many standard deviations.
    pub fn drift(mut self, row: usize, shift: f64) -> Self {
        self.drift = Some(Drift { row, shift });
        self
    }

    /// Another seed gives other requests by the same laws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Requests in the log.
    pub fn len(&self) -> usize {
        self.requests
    }

    /// True for a log without requests, which can't be made.
    pub fn is_empty(&self) -> bool {
        self.requests == 0
    }

    pub(crate) fn feature_count(&self) -> usize {
        self.features
    }

    /// All requests, in the order in which they come.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no requests or keys, and numbers that make no sense.
    pub fn generate(&self) -> Result<Vec<Request>> {
        self.validate()?;
        let clock = self.clock()?;
        let chunks = (0..self.requests.div_ceil(CHUNK)).map(|chunk| self.chunk(&clock, chunk));
        Ok(chunks.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    pub(crate) fn validate(&self) -> Result<()> {
        if self.requests == 0 || self.keys == 0 || u32::try_from(self.keys).is_err() {
            return Err(Error::invalid(format!(
                "a log of {} requests for {} keys can't be made; ask for at least one of each, and at most {} keys",
                self.requests,
                self.keys,
                u32::MAX
            )));
        }
        if !(self.zipf.is_finite() && self.zipf >= 0.0) {
            return Err(Error::invalid(format!(
                "Zipf's law can't have the exponent {}; use 0 (all keys alike) or more, such as 1.0",
                self.zipf
            )));
        }
        if let Some(Drift { row, shift }) = self.drift.filter(|drift| !drift.shift.is_finite()) {
            return Err(Error::invalid(format!("the drift from row {row} on is {shift}; use a finite number")));
        }
        self.arrivals.validate()
    }

    pub(crate) fn clock(&self) -> Result<Clock> {
        let mut rng = self.stream(LENGTHS_STREAM);
        let mut starts = vec![0.0];
        for chunk in 0..self.requests.div_ceil(CHUNK) {
            let gaps = self.in_chunk(chunk) as f64;
            let length = Gamma::new(gaps, 1.0).map_err(|cause| Error::invalid(format!("{gaps} requests: {cause}")))?;
            starts.push(starts[chunk] + length.sample(&mut rng));
        }
        Ok(Clock { starts })
    }

    /// The requests from `chunk` x [`CHUNK`] on.
    pub(crate) fn chunk(&self, clock: &Clock, chunk: usize) -> Result<Vec<Request>> {
        let count = self.in_chunk(chunk);
        let (start, end) = (clock.starts[chunk], clock.starts[chunk + 1]);
        let mut rng = self.stream(chunk as u64);
        let mut moments: Vec<f64> = (0..count - 1).map(|_| rng.random_range(start..end)).collect();
        // The length ends with a request: it is the sum of as many gaps as there are requests.
        moments.push(end);
        moments.sort_by(f64::total_cmp);
        let keys = Zipf::new(self.keys as f64, self.zipf)
            .map_err(|cause| Error::invalid(format!("{} keys with exponent {}: {cause}", self.keys, self.zipf)))?;
        let request = |(index, moment): (usize, f64)| {
            let row = chunk * CHUNK + index;
            let mean = self.drift.filter(|drift| row >= drift.row).map_or(0.0, |drift| drift.shift as f32);
            Request {
                seconds: self.arrivals.seconds(moment),
                key: keys.sample(&mut rng) as u32 - 1,
                features: (0..self.features).map(|_| mean + rng.sample::<f32, _>(StandardNormal)).collect(),
            }
        };
        Ok(moments.into_iter().enumerate().map(request).collect())
    }

    fn in_chunk(&self, chunk: usize) -> usize {
        CHUNK.min(self.requests - chunk * CHUNK)
    }

    fn stream(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }
}
