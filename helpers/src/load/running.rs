//! Doing a load: everything that can be made and looked at before the first request, and then the generator at work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::generator::{self, Counted, Plan};
use super::schedule::{Schedule, nanoseconds};
use super::target::Target;
use super::{Load, LoadRun};
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::interrupt::{LOOK, check_interrupt};
use crate::machine::{self, Machine};

/// The highest rate that can be asked for; none is known to reach it.
const MOST_PER_SECOND: f64 = 1e7;
/// Files that a process has open for other things.
const OTHER_FILES: u64 = 64;

impl Load {
    /// Sends all requests and waits for their answers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an address that is none or not on this machine, numbers that make no sense, and more
    /// connections than this process may have; [`Error::Worker`] when nothing listens there; [`Error::TooFewPoints`] when
    /// no request was due; [`Error::Interrupted`].
    pub fn run(&self) -> Result<LoadRun> {
        let plan = self.plan()?;
        let (from, to) = (plan.from, plan.to);
        let Counted { mut recorder, given_up, most_connections, busy } = self.in_own_thread(plan)?;
        if recorder.due == 0 {
            return Err(Error::TooFewPoints(format!(
                "no request was due within the {} s that count; use a higher rate or more seconds",
                self.seconds
            )));
        }
        let seconds = 1e-9 * (to - from) as f64;
        let run = LoadRun {
            load: self.clone(),
            provenance: self.provenance,
            seconds,
            due: recorder.due,
            sent: recorder.sent,
            given_up,
            waited_for_connection: recorder.waited_for_connection,
            sent_per_second: recorder.sent_in_time as f64 / seconds,
            lateness: recorder.lateness(),
            latencies: recorder.latencies(),
            series: recorder.seconds(),
            answers: recorder.answers,
            failures: recorder.failures,
            retried: recorder.retried,
            retry_after: recorder.retry_after,
            busy,
            most_connections,
            not_kept_up: None,
        };
        Ok(run.judged())
    }

    /// Everything made and looked at that can be before the first request.
    fn plan(&self) -> Result<Plan> {
        self.validate()?;
        let target = Target::parse(&self.target, self.beyond_this_machine)?;
        let mut end = self.warm_up_seconds + self.seconds;
        let by_key = self.keys.is_some() || matches!(self.schedule, Schedule::Log(_));
        let messages = self.message.prepare(&target.host, target.path.as_deref(), by_key, self.seed)?;
        let moments = self.schedule.moments(self.per_second, self.keys, self.seed, end)?;
        if let (Schedule::Log(log), Some(last)) = (&self.schedule, moments.listed().last())
            && log.len() == moments.listed().len()
        {
            // All of the log is sent; what comes after it is no pause of the service's users.
            end = end.min(1e-9 * (last.nanoseconds + 1) as f64);
        }
        if end <= self.warm_up_seconds {
            return Err(Error::invalid(format!(
                "the log ends after {end} s, within the warm-up of {} s; use a longer log or .warm_up_seconds(0.0)",
                self.warm_up_seconds
            )));
        }
        target.check()?;
        Ok(Plan {
            target,
            messages,
            moments,
            from: nanoseconds(self.warm_up_seconds),
            to: nanoseconds(end),
            connections: self.connections,
            timeout: Duration::from_secs_f64(self.timeout_seconds),
            retries: self.retries,
            own_core: self.core.is_some(),
        })
    }

    fn validate(&self) -> Result<()> {
        let within = |value: f64, most: f64| value.is_finite() && value > 0.0 && value <= most;
        if !matches!(self.schedule, Schedule::Log(_)) && !within(self.per_second, MOST_PER_SECOND) {
            return Err(Error::invalid(format!(
                "{} requests/s can't be sent; use a rate above 0 and at most {MOST_PER_SECOND}",
                self.per_second
            )));
        }
        let day = 86_400.0;
        let warm_up = self.warm_up_seconds;
        if !within(self.seconds, day) || !within(self.timeout_seconds, day) || !(warm_up == 0.0 || within(warm_up, day))
        {
            return Err(Error::invalid(format!(
                "a load for {} s after a warm-up of {warm_up} s with a timeout of {} s can't be; use numbers above 0 (the \
                 warm-up may be 0) and at most a day",
                self.seconds, self.timeout_seconds
            )));
        }
        let files = open_files_allowed();
        if self.connections == 0 || self.connections as u64 > files.saturating_sub(OTHER_FILES) {
            return Err(Error::invalid(format!(
                "{} connections can't be opened: this process may have {files} files open, and needs {OTHER_FILES} for other \
                 things; use at least 1 and at most {}, or raise the limit with `ulimit -n` before the notebook is started",
                self.connections,
                files.saturating_sub(OTHER_FILES)
            )));
        }
        let cores = Machine::detect().physical_cores;
        if let Some(core) = self.core.filter(|core| *core >= cores) {
            return Err(Error::invalid(format!(
                "there is no core {core} to tie the generator to; this machine has {cores}, counted from 0"
            )));
        }
        let method = self.message.method()?;
        if self.retries > 0 && !method.is_idempotent() && !self.idempotent {
            return Err(Error::invalid(format!(
                "{method} requests may not be done twice, so they are not tried again; say .idempotent() if it does no harm \
                 here, or leave out .retries({})",
                self.retries
            )));
        }
        Ok(())
    }

    /// The generator in a thread of its own, while this one shows how far it is and looks whether to stop.
    fn in_own_thread(&self, plan: Plan) -> Result<Counted> {
        let expected = 1e-9 * plan.to as f64 * self.per_second;
        let steady = !matches!(self.schedule, Schedule::Log(_));
        let mut progress =
            Progress::new("requests", steady.then_some(expected as usize)).at_most_every(Duration::from_secs(1));
        let (stop, ended) = (AtomicBool::new(false), AtomicU64::new(0));
        let (over, is_over) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let generator = scope.spawn(|| {
                // Dropped when the thread is done, however it ends.
                let _over = over;
                if let Some(core) = self.core {
                    machine::tie_to_core(core);
                }
                generator::run(plan, &stop, &ended)
            });
            let mut shown = 0;
            while is_over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if check_interrupt().is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                let now = ended.load(Ordering::Relaxed);
                progress.advance((now - shown) as usize);
                shown = now;
            }
            generator
                .join()
                .unwrap_or_else(|_| Err(Error::Worker("the load generator panicked; run the cell again".to_string())))
        })
    }
}

/// How many files this process may have open.
fn open_files_allowed() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit only writes the two numbers of `limit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 { limit.rlim_cur } else { u64::MAX }
}
