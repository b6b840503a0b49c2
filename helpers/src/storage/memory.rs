//! The memory that this process has for itself, as Linux counts it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks again and again at how much memory is in use.
///
/// Pages of files that are mapped into memory don't count: the system takes them back when it needs them, so a table can be
/// read that way on a machine with less memory than it has bytes.
pub(super) struct Watch {
    before: u64,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Watch {
    pub(super) fn start() -> Result<Self> {
        let (before, ended) = (own(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ended);
        let look = move || {
            let mut most = before;
            while !end.load(Ordering::Relaxed) {
                most = most.max(own());
                std::thread::sleep(PAUSE);
            }
            most.max(own())
        };
        let thread = std::thread::Builder::new().name("onramp memory".to_string()).spawn(look);
        let thread = thread.map_err(|cause| Error::io("starting a thread that watches the memory", cause))?;
        Ok(Self { before, ended, thread: Some(thread) })
    }

    /// Bytes in use before, and the most since then.
    pub(super) fn finish(mut self) -> (u64, u64) {
        self.ended.store(true, Ordering::Relaxed);
        let most = self.thread.take().and_then(|thread| thread.join().ok());
        (self.before, most.unwrap_or(self.before))
    }
}

impl Drop for Watch {
    /// What is watched may fail; its thread must not go on.
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Resident memory without that of files; 0 where the system does not tell.
fn own() -> u64 {
    // SAFETY: sysconf only reads a constant of the system.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut fields = text.split(' ').skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    page * resident.saturating_sub(shared)
}
