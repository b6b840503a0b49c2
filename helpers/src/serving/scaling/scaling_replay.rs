//! The rule against a load that changes, on a virtual clock.
//!
//! Requests come by a Poisson process (or from a log) into one queue, and each ready replica takes one at a time. Each second, or
//! each window where that is shorter, the rule sees the requests per second and replica, and replicas that it orders are ready
//! after a cold start. All cases of a run have the same requests, so that they differ in nothing but rule and cold start.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp1;
use serde::{Deserialize, Serialize};

use super::HpaRule;
use super::scaling_run::{ScalingCase, ScalingMoment, ScalingReplayRun};
use super::virtual_replicas::{VirtualReplicas, Work, nanoseconds};
use crate::data::RequestLog;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

/// A run with more requests than these would take minutes.
const MOST_REQUESTS: f64 = 2e7;

/// Rules and cold starts against one load.
///
/// ```
/// use onramp::serving::{HpaRule, ScalingReplay};
///
/// // 20, then 100 requests/s; a replica manages 20, and each should have 14.
/// let run = ScalingReplay::new(HpaRule::new(14.0)).cold_starts([0.0, 1.0, 3.0]).run()?;
/// let area = |cold_start| run.cases[cold_start].backlog_request_seconds;
/// assert!(area(0) < area(1) && area(1) < area(2));
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingReplay {
    pub(super) rules: Vec<(String, HpaRule)>,
    cold_starts: Vec<f64>,
    traffic: Traffic,
    pub(super) seconds: f64,
    pub(super) requests_per_second_of_replica: f64,
    exponential: bool,
    replicas: Option<usize>,
    seed: u64,
}

/// Where the requests come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Traffic {
    /// Poisson at a rate that changes: from which second on, and how many requests per second.
    Phases(Vec<(f64, f64)>),
    Log(RequestLog),
}

impl ScalingReplay {
    /// 600 s of 20 requests/s that become 100 after 60 s, on replicas that manage 20 requests/s each, with exponentially
    /// distributed service times, and that start at once.
    pub fn new(rule: HpaRule) -> Self {
        Self {
            rules: vec![("the rule".to_string(), rule)],
            cold_starts: vec![0.0],
            traffic: Traffic::Phases(vec![(0.0, 20.0), (60.0, 100.0)]),
            seconds: 600.0,
            requests_per_second_of_replica: 20.0,
            exponential: true,
            replicas: None,
            seed: 0,
        }
    }

    /// These rules beside each other, each with a name, in place of the one.
    pub fn rules<Name: Into<String>>(mut self, rules: impl IntoIterator<Item = (Name, HpaRule)>) -> Self {
        self.rules = rules.into_iter().map(|(name, rule)| (name.into(), rule)).collect();
        self
    }

    /// Seconds from the order of a replica until it is ready, one case for each.
    pub fn cold_starts(mut self, seconds: impl IntoIterator<Item = f64>) -> Self {
        self.cold_starts = seconds.into_iter().collect();
        self
    }

    /// The load: from which second on, and how many requests per second come from then on. The first is at 0 s.
    pub fn load(mut self, phases: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.traffic = Traffic::Phases(phases.into_iter().collect());
        self
    }

    /// The same load all the time, in requests per second.
    pub fn steady_load(self, requests_per_second: f64) -> Self {
        self.load([(0.0, requests_per_second)])
    }

    /// The requests of a log, as far as they come within the run.
    pub fn log(mut self, log: RequestLog) -> Self {
        self.traffic = Traffic::Log(log);
        self
    }

    /// Virtual seconds that the run lasts.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Requests per second that one replica manages, mu: one at a time, each 1 / mu seconds on average.
    pub fn replica_rate(mut self, requests_per_second: f64) -> Self {
        self.requests_per_second_of_replica = requests_per_second;
        self
    }

    /// All requests take the same time, in place of an exponentially distributed one.
    pub fn constant_service(mut self) -> Self {
        self.exponential = false;
        self
    }

    /// Replicas at the start; without this, as many as the rule would want for the first second's rate.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Another seed gives other requests by the same laws.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Plays every case.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for numbers that make no sense; [`Error::Interrupted`] between two virtual seconds.
    pub fn run(&self) -> Result<ScalingReplayRun> {
        self.validate()?;
        let requests = self.requests()?;
        let mut cases = Vec::new();
        for (name, rule) in &self.rules {
            for cold_start in &self.cold_starts {
                cases.push(self.case(name, rule, *cold_start, &requests)?);
            }
        }
        Ok(ScalingReplayRun { replay: self.clone(), cases })
    }

    fn case(&self, name: &str, rule: &HpaRule, cold_start: f64, requests: &[Work]) -> Result<ScalingCase> {
        let first = requests.iter().take_while(|request| request.arrives < nanoseconds(1.0)).count() as f64;
        let first_rate = match &self.traffic {
            Traffic::Phases(phases) => phases[0].1,
            Traffic::Log(_) => first,
        };
        let wanted = (first_rate / rule.target).ceil() as usize;
        let at_start = self.replicas.unwrap_or_else(|| wanted.clamp(rule.fewest, rule.most));
        let mut state = rule.start(at_start)?;
        let mut replicas = VirtualReplicas::new(at_start, nanoseconds(cold_start));
        let step = rule.sample_seconds();
        let mut moments = Vec::new();
        let mut decisions = Vec::new();
        let mut begun = 0;
        for tick in 1..=(self.seconds / step).floor() as usize {
            check_interrupt()?;
            let now = tick as f64 * step;
            let coming = requests[begun..].partition_point(|request| request.arrives <= nanoseconds(now));
            replicas.advance(nanoseconds(now), &requests[begun..begun + coming]);
            begun += coming;
            let requests_per_second = coming as f64 / step;
            let ready = replicas.ready();
            let metric = (ready > 0).then(|| requests_per_second / ready as f64);
            let decision = state.observe(now, metric, ready)?;
            if decision.is_change() {
                decisions.push(decision);
                replicas.scale_to(decision.replicas);
            }
            moments.push(ScalingMoment {
                seconds: now,
                requests_per_second,
                wanted: decision.replicas,
                ready,
                waiting: replicas.waiting(),
            });
        }
        Ok(ScalingCase {
            rule: name.to_string(),
            cold_start_seconds: cold_start,
            moments,
            decisions,
            backlog_request_seconds: replicas.waiting_request_seconds(),
            mean_wait_seconds: replicas.mean_wait_seconds(),
            replica_seconds: replicas.replica_seconds(),
        })
    }

    /// All requests, each with its service time.
    fn requests(&self) -> Result<Vec<Work>> {
        let moments = match &self.traffic {
            Traffic::Phases(phases) => self.poisson(phases),
            Traffic::Log(log) => {
                let requests = log.features(0).generate()?;
                requests.into_iter().map(|request| request.seconds).filter(|moment| *moment <= self.seconds).collect()
            }
        };
        let mut rng = self.stream(1);
        let mean = 1.0 / self.requests_per_second_of_replica;
        let mut service = || if self.exponential { mean * rng.sample::<f64, _>(Exp1) } else { mean };
        let work = |moment| Work { arrives: nanoseconds(moment), lasts: nanoseconds(service()) };
        Ok(moments.into_iter().map(work).collect())
    }

    /// Seconds of a Poisson process: in each phase the gaps are exponential, and its end forgets how long it has been since
    /// the last request.
    fn poisson(&self, phases: &[(f64, f64)]) -> Vec<f64> {
        let mut rng = self.stream(0);
        let mut moments = Vec::new();
        for (index, (from, rate)) in phases.iter().enumerate() {
            let until = phases.get(index + 1).map_or(self.seconds, |next| next.0.min(self.seconds));
            let mut moment = *from;
            while *rate > 0.0 {
                moment += rng.sample::<f64, _>(Exp1) / rate;
                if moment > until {
                    break;
                }
                moments.push(moment);
            }
        }
        moments
    }

    fn stream(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }

    fn validate(&self) -> Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let not_negative = |value: &f64| value.is_finite() && *value >= 0.0;
        if self.rules.is_empty() || self.cold_starts.is_empty() {
            return Err(Error::invalid(format!(
                "{} rules and {} cold starts give nothing to replay; use at least one of each",
                self.rules.len(),
                self.cold_starts.len()
            )));
        }
        self.rules.iter().try_for_each(|(_, rule)| rule.validate())?;
        if !self.cold_starts.iter().all(not_negative) {
            return Err(Error::invalid(format!(
                "cold starts of {:?} s can't be replayed; use seconds from 0 on",
                self.cold_starts
            )));
        }
        if !positive(self.seconds) || !positive(self.requests_per_second_of_replica) {
            return Err(Error::invalid(format!(
                "{} s with replicas of {} requests/s can't be replayed; use numbers above 0",
                self.seconds, self.requests_per_second_of_replica
            )));
        }
        if let Traffic::Phases(phases) = &self.traffic {
            let in_order = phases.windows(2).all(|pair| pair[0].0 < pair[1].0);
            let sensible = phases.iter().all(|(from, rate)| not_negative(from) && not_negative(rate));
            if phases.first().is_none_or(|first| first.0 != 0.0) || !in_order || !sensible {
                return Err(Error::invalid(format!(
                    "a load of {phases:?} can't be replayed; give (second, requests per second) from second 0 on, in order, with \
                     rates from 0 on"
                )));
            }
            let most = phases.iter().map(|(_, rate)| rate).copied().fold(0.0, f64::max) * self.seconds;
            if most > MOST_REQUESTS {
                return Err(Error::invalid(format!(
                    "{most:.0} requests are too many to replay; use fewer seconds or requests per second"
                )));
            }
        }
        Ok(())
    }
}
