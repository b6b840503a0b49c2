//! Stopping what a cell does, in steps that cost the learner as little as possible.
//!
//! While the cell compiles, the compiler is stopped. While it runs, it is asked first: a flag, one byte in a file of
//! the kernel's folder, at which the helper crate's loops look between two steps. A cell that does not answer within
//! [`PATIENCE`], or is interrupted a second time, loses its process, and the variables with it.

use crate::events::Command;
use crate::running::Shared;
use crate::stand_in::COMPILER_PID;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Name of the flag's file in the kernel's folder.
pub const FLAG: &str = "interrupt";
/// A cell that was asked to stop may take this long.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what the cell is doing now.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the learner asked of the cell that runs.
#[derive(Debug)]
pub struct Request {
    flag: File,
    /// How often the cell that runs was interrupted.
    times: AtomicU32,
}

impl Request {
    /// Makes the flag in the kernel's folder. It is written in place later, which a full disk does not hinder.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        let flag = File::create(folder.join(FLAG))?;
        flag.write_all_at(&[0], 0)?;
        Ok(Self { flag, times: AtomicU32::new(0) })
    }

    /// Forgets every request: a cell begins, or has ended.
    pub fn clear(&self) {
        self.times.store(0, Ordering::SeqCst);
        // A byte that exists is overwritten in place, which needs no space.
        let _ = self.flag.write_all_at(&[0], 0);
    }

    /// Whether the cell that runs was interrupted.
    pub fn made(&self) -> bool {
        self.times.load(Ordering::SeqCst) > 0
    }

    fn make(&self) -> u32 {
        let _ = self.flag.write_all_at(&[1], 0);
        self.times.fetch_add(1, Ordering::SeqCst)
    }
}

/// Ends what the evaluator is doing.
#[derive(Debug, Clone)]
pub struct Interrupter(pub Arc<Shared>);

impl Interrupter {
    /// Stops the compiler, or asks the cell to stop and sees to it that it does. Does nothing while no cell runs.
    pub fn interrupt(&self) {
        let shared = self.0.clone();
        let cell = shared.cell.load(Ordering::SeqCst);
        if shared.busy.load(Ordering::SeqCst) && shared.interrupt.make() == 0 {
            let interrupter = self.clone();
            // Without a thread nobody presses on, but the cell was asked.
            let _ = std::thread::Builder::new().name("interrupt".into()).spawn(move || interrupter.see_to_it(cell));
        }
    }

    /// Ends everything below the kernel and removes its folder.
    pub fn end(&self) {
        self.stop_compiler();
        self.0.tell_relay(Command::End);
        let _ = std::fs::remove_dir_all(&self.0.folder);
    }

    fn see_to_it(&self, cell: u64) {
        let shared = &self.0;
        let deadline = Instant::now() + PATIENCE;
        while shared.busy.load(Ordering::SeqCst) && shared.cell.load(Ordering::SeqCst) == cell {
            // evcxr may start the compiler more than once for a cell.
            self.stop_compiler();
            if shared.interrupt.times.load(Ordering::SeqCst) > 1 || Instant::now() > deadline {
                shared.tell_relay(Command::End);
            }
            std::thread::sleep(INTERVAL);
        }
    }

    fn stop_compiler(&self) -> bool {
        let pid =
            std::fs::read_to_string(self.0.folder.join(COMPILER_PID)).ok().and_then(|text| text.parse::<i32>().ok());
        // SAFETY: a plain system call, on the process group that the stand-in made for itself.
        pid.is_some_and(|pid| unsafe { libc::killpg(pid, libc::SIGTERM) } == 0)
    }
}
