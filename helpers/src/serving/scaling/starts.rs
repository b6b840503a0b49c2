//! Replicas on their way: each is started in a thread beside the others, and after a failure later and later.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::serving::ServiceProcess;

/// After so many failures in a row no further replica is tried until another number is wanted.
const MOST_FAILURES: usize = 5;

/// The starts of replicas that are not there yet.
#[derive(Debug)]
pub(in crate::serving) struct Starts {
    /// After a first failure until the next try; each further failure doubles it.
    pub(super) first_pause: Duration,
    threads: Vec<JoinHandle<Result<ServiceProcess>>>,
    failures: usize,
    not_before: Instant,
    last_failure: String,
}

impl Starts {
    pub(in crate::serving) fn new() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            threads: Vec::new(),
            failures: 0,
            not_before: Instant::now(),
            last_failure: String::new(),
        }
    }

    /// Another number of replicas is another reason to try.
    pub(in crate::serving) fn forget_failures(&mut self) {
        self.failures = 0;
        self.not_before = Instant::now();
    }

    /// Starts replicas until so many are on their way; after a failure one is tried, not all at once.
    ///
    /// # Errors
    /// [`Error::Worker`] when the system gives no thread.
    pub(in crate::serving) fn fill(
        &mut self,
        missing: usize,
        start: impl Fn() -> Result<ServiceProcess> + Clone + Send + 'static,
    ) -> Result<()> {
        if self.failures == MOST_FAILURES || Instant::now() < self.not_before {
            return Ok(());
        }
        let at_once = if self.failures > 0 { 1 } else { usize::MAX };
        while self.threads.len() < missing.min(at_once) {
            self.threads.push(thread("onramp-replica", start.clone())?);
        }
        Ok(())
    }

    /// The replicas that have started since the last call; what became of the others is reported.
    pub(in crate::serving) fn arrivals(&mut self, reports: &mut Vec<String>) -> Vec<ServiceProcess> {
        let mut arrived = Vec::new();
        for started in finished(&mut self.threads) {
            match started {
                Ok(process) => {
                    self.failures = 0;
                    arrived.push(process);
                }
                Err(cause) => reports.push(self.failed(&cause)),
            }
        }
        arrived
    }

    fn failed(&mut self, cause: &Error) -> String {
        self.failures = MOST_FAILURES.min(self.failures + 1);
        let pause = self.first_pause * 2_u32.pow(self.failures as u32 - 1);
        self.not_before = Instant::now() + pause;
        self.last_failure = cause.to_string();
        let next = if self.failures < MOST_FAILURES {
            format!("the next try is in {} s", pause.as_secs_f64())
        } else {
            "there is no further try until another number of replicas is wanted".to_string()
        };
        format!("a replica did not start, failure {} in a row: {cause}; {next}", self.failures)
    }

    /// # Errors
    /// [`Error::Service`] when none is on its way and none is tried any more.
    pub(in crate::serving) fn check_hope(&self) -> Result<()> {
        if self.failures < MOST_FAILURES || !self.threads.is_empty() {
            return Ok(());
        }
        Err(Error::Service(format!(
            "no replica runs, and {MOST_FAILURES} in a row did not start, the last one because: {}",
            self.last_failure
        )))
    }
}

pub(super) fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Result<T>>> {
    let builder = std::thread::Builder::new().name(name.to_string());
    builder.spawn(work).map_err(|cause| Error::Worker(format!("the system gives no thread for a replica: {cause}")))
}

/// Takes the threads that are done out of the list, and returns what came of them.
pub(super) fn finished<T>(threads: &mut Vec<JoinHandle<Result<T>>>) -> Vec<Result<T>> {
    let done: Vec<_> = threads.extract_if(.., |thread| thread.is_finished()).collect();
    let panicked = |_| Err(Error::Worker("the thread of a replica panicked".to_string()));
    done.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
}
