//! Replicas on their way out: each is asked to end in a thread of its own, and finishes what it has.

use std::thread::JoinHandle;
use std::time::Duration;

use super::starts::{finished, thread};
use crate::error::Result;
use crate::serving::ServiceProcess;

/// Until a replica that gets no more requests is asked to end: then nobody is on the way to it any more.
const GRACE: Duration = Duration::from_millis(200);

/// The ends of replicas that are not wanted any more. They are waited for when this value goes.
#[derive(Debug, Default)]
pub(in crate::serving) struct Ends {
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Ends {
    /// Asks a replica that gets no more requests to end.
    ///
    /// # Errors
    /// [`Error::Worker`](crate::Error::Worker) when the system gives no thread; then it is killed.
    pub(in crate::serving) fn retire(&mut self, mut process: ServiceProcess) -> Result<()> {
        self.threads.push(thread("onramp-retire", move || {
            std::thread::sleep(GRACE);
            process.stop()
        })?);
        Ok(())
    }

    /// Tells which of them did not end well since the last call.
    pub(in crate::serving) fn report(&mut self, reports: &mut Vec<String>) {
        let failures = finished(&mut self.threads).into_iter().filter_map(Result::err);
        reports.extend(failures.map(|cause| format!("a replica did not end as it was asked to: {cause}")));
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // What can't be told to anybody any more is not.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
