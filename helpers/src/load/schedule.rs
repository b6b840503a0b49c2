//! The moments at which requests are due, and which key each is for.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, Zipf};
use serde::{Deserialize, Serialize};

use crate::data::RequestLog;
use crate::data::request_log::CHUNK;
use crate::error::{Error, Result};

/// The laws of arrivals and keys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Schedule {
    /// Independently of each other.
    Poisson,
    /// At equal distances.
    Constant,
    /// As in a log, keys included.
    Log(RequestLog),
}

/// Keys by Zipf's law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Keys {
    pub(super) count: usize,
    pub(super) exponent: f64,
}

/// A request that is going to be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Due {
    /// When it is to be sent, from the start of the load.
    pub(super) nanoseconds: u64,
    /// What it is for, from 0 on.
    pub(super) key: u32,
}

/// The requests of a load, one after the other. Those of a log are made before the start.
pub(super) enum Moments {
    Drawn {
        random: ChaCha8Rng,
        keys_random: ChaCha8Rng,
        keys: Option<Zipf<f64>>,
        rate: f64,
        poisson: bool,
        at: f64,
        count: u64,
        end: f64,
    },
    Listed(std::vec::IntoIter<Due>),
}

impl Schedule {
    /// The requests that are due before `end_seconds`.
    pub(super) fn moments(self, rate: f64, keys: Option<Keys>, seed: u64, end_seconds: f64) -> Result<Moments> {
        if let Self::Log(log) = self {
            return Ok(Moments::Listed(of_log(&log, end_seconds)?.into_iter()));
        }
        let random = ChaCha8Rng::seed_from_u64(seed);
        let mut keys_random = random.clone();
        keys_random.set_stream(1);
        let keys = match keys {
            None => None,
            Some(Keys { count, exponent }) => Some(
                Zipf::new(count as f64, exponent)
                    .ok()
                    .filter(|_| count > 0 && u32::try_from(count).is_ok())
                    .ok_or_else(|| {
                        Error::invalid(format!(
                            "there are no {count} keys by Zipf's law with exponent {exponent}; use at least 1 key, and 0 (all \
                             keys alike) or more, such as 1.0"
                        ))
                    })?,
            ),
        };
        let poisson = self == Self::Poisson;
        Ok(Moments::Drawn { random, keys_random, keys, rate, poisson, at: 0.0, count: 0, end: end_seconds })
    }
}

/// Made chunk by chunk, as long as there are requests before the end.
fn of_log(log: &RequestLog, end_seconds: f64) -> Result<Vec<Due>> {
    log.validate()?;
    let clock = log.clock()?;
    let mut all = Vec::new();
    for chunk in 0..log.len().div_ceil(CHUNK) {
        crate::interrupt::check_interrupt()?;
        let requests = log.chunk(&clock, chunk)?;
        let count = requests.len();
        let before = requests.into_iter().take_while(|request| request.seconds < end_seconds);
        let from = all.len();
        all.extend(before.map(|request| Due { nanoseconds: nanoseconds(request.seconds), key: request.key }));
        if all.len() - from < count {
            break;
        }
    }
    Ok(all)
}

impl Moments {
    /// The requests of a log, when they are one's.
    pub(super) fn listed(&self) -> &[Due] {
        if let Self::Listed(all) = self { all.as_slice() } else { &[] }
    }
}

impl Iterator for Moments {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        match self {
            Self::Listed(all) => all.next(),
            Self::Drawn { random, keys_random, keys, rate, poisson, at, count, end } => {
                *count += 1;
                *at = if *poisson { *at + random.sample::<f64, _>(Exp1) / *rate } else { *count as f64 / *rate };
                let key = keys.as_ref().map_or(0, |keys| keys.sample(keys_random) as u32 - 1);
                (*at < *end).then(|| Due { nanoseconds: nanoseconds(*at), key })
            }
        }
    }
}

pub(super) fn nanoseconds(seconds: f64) -> u64 {
    (1e9 * seconds) as u64
}
