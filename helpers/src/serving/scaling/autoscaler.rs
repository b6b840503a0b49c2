//! The rule on real replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::HpaRule;
use super::autoscaler_run::{AutoscalerMoment, AutoscalerRun};
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::measure::Provenance;

/// Between two looks at whether the end was asked for.
const LOOK: Duration = Duration::from_millis(20);

/// What an autoscaler scales.
pub trait Replicas {
    /// How many there are meant to be already, before anybody scales them.
    fn wanted(&self) -> usize {
        0
    }

    /// How many are ready to serve.
    ///
    /// # Errors
    /// When there are none, and no hope of any.
    fn ready(&mut self) -> Result<usize>;

    /// From now on there are meant to be so many. It starts and stops them without waiting until that is done, and loses no
    /// request.
    ///
    /// # Errors
    /// When they can't be had at all.
    fn scale_to(&mut self, replicas: usize) -> Result<()>;

    /// The metric per ready replica since the last call, in the unit of the rule's target; none when nobody knows it.
    ///
    /// # Errors
    /// When it will never be known.
    fn metric(&mut self) -> Result<Option<f64>>;

    /// What went wrong since the last call, such as a replica that did not start.
    fn reports(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Where their numbers come from.
    fn provenance(&self) -> Provenance {
        Provenance::Measured
    }

    /// Ends all of them; they finish what they have. Nothing without this but what happens when the value goes.
    ///
    /// # Errors
    /// When one had to be killed.
    fn end(self) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// Watches replicas, and has as many of them as the rule wants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Autoscaler {
    rule: HpaRule,
    /// None: those that there are.
    replicas: Option<usize>,
}

/// An autoscaler at work in a thread of its own. It ends, and its replicas with it, when this value goes.
#[derive(Debug)]
pub struct RunningAutoscaler {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<AutoscalerRun>>>,
}

impl Autoscaler {
    /// This rule, from the replicas on that there are, or as many of them as the rule allows.
    pub fn new(rule: HpaRule) -> Self {
        Self { rule, replicas: None }
    }

    /// Another number of replicas at the start.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = Some(replicas);
        self
    }

    /// Scales on this thread for so many seconds.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a rule that makes no sense; [`Error::Interrupted`]; what the replicas return.
    pub fn run(&self, replicas: &mut impl Replicas, seconds: f64) -> Result<AutoscalerRun> {
        if !(seconds.is_finite() && seconds > 0.0) {
            return Err(Error::invalid(format!("scaling for {seconds} s makes no sense; use a number above 0")));
        }
        self.scale(replicas, Some(seconds), &AtomicBool::new(false))
    }

    /// Scales in a thread of its own, so that this one can send requests meanwhile.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a rule that makes no sense; [`Error::Worker`] when the system gives no thread.
    pub fn start(&self, mut replicas: impl Replicas + Send + 'static) -> Result<RunningAutoscaler> {
        self.rule.start(self.first(&replicas))?;
        let ending = Arc::new(AtomicBool::new(false));
        let (autoscaler, its) = (*self, ending.clone());
        let thread = std::thread::Builder::new()
            .name("onramp-autoscaler".to_string())
            .spawn(move || {
                let run = autoscaler.scale(&mut replicas, None, &its);
                let ended = replicas.end();
                run.and_then(|run| ended.map(|()| run))
            })
            .map_err(|cause| Error::Worker(format!("the system gives no thread for the autoscaler: {cause}")))?;
        Ok(RunningAutoscaler { ending, thread: Some(thread) })
    }

    /// How many replicas there are meant to be at the start.
    fn first(&self, replicas: &impl Replicas) -> usize {
        self.replicas.unwrap_or_else(|| self.rule.nearest(replicas.wanted()))
    }

    fn scale(&self, replicas: &mut impl Replicas, seconds: Option<f64>, ending: &AtomicBool) -> Result<AutoscalerRun> {
        let mut state = self.rule.start(self.first(replicas))?;
        replicas.scale_to(state.replicas())?;
        let step = self.rule.sample_seconds();
        let mut run = AutoscalerRun::new(self.rule, replicas.provenance());
        let start = Instant::now();
        let mut sample = 0.0_f64;
        loop {
            // Samples that a slow step made impossible are left out: made up for in a burst, they would tell nothing.
            sample = sample.max((start.elapsed().as_secs_f64() / step).floor()) + 1.0;
            let due = start + Duration::from_secs_f64(sample * step);
            while Instant::now() < due && !ending.load(Ordering::Relaxed) {
                check_interrupt()?;
                std::thread::sleep(LOOK.min(due.saturating_duration_since(Instant::now())));
            }
            let now = start.elapsed().as_secs_f64();
            if ending.load(Ordering::Relaxed) || seconds.is_some_and(|seconds| now > seconds) {
                break;
            }
            let ready = replicas.ready()?;
            let metric = replicas.metric()?;
            let decision = state.observe(now, metric, ready)?;
            if decision.is_change() {
                replicas.scale_to(decision.replicas)?;
                run.decisions.push(decision);
            }
            run.reports.extend(replicas.reports().into_iter().map(|report| (now, report)));
            run.moments.push(AutoscalerMoment { seconds: now, metric, wanted: decision.replicas, ready });
        }
        Ok(run)
    }
}

impl RunningAutoscaler {
    /// Whether it still scales; one that was interrupted or lost all replicas does not.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends it and its replicas, which finish what they have, and returns what it did.
    ///
    /// # Errors
    /// What ended it before, [`Error::Interrupted`] among others.
    pub fn stop(mut self) -> Result<AutoscalerRun> {
        self.end().unwrap_or_else(|| Err(Error::Worker("the autoscaler was stopped before".to_string())))
    }

    fn end(&mut self) -> Option<Result<AutoscalerRun>> {
        self.ending.store(true, Ordering::Relaxed);
        let ended = self.thread.take()?.join();
        Some(ended.unwrap_or_else(|_| Err(Error::Worker("the autoscaler panicked; its replicas are gone".to_string()))))
    }
}

impl Drop for RunningAutoscaler {
    fn drop(&mut self) {
        self.end();
    }
}
