//! The machine that the numbers come from, and how work is tied to one of its cores.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::display::Table;
use crate::error::{Error, Result};
use crate::process;

/// What this process may use of the machine it runs on.
///
/// Affinity masks and control groups count: inside a container with two of sixty-four cores this says two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name as the operating system gives it.
    pub cpu: String,
    /// Hardware threads that this process may run on.
    pub logical_cores: usize,
    /// Cores among them: two hardware threads of one core share its arithmetic units and count once.
    pub physical_cores: usize,
    /// Main memory that this process may use, in bytes; 0 when it is not known.
    pub memory_bytes: u64,
}

impl Machine {
    /// Looks at this machine. The first call does the work, later ones repeat its answer.
    pub fn detect() -> Self {
        let cores = cores();
        Self {
            cpu: cpu_name(),
            logical_cores: cores.logical,
            physical_cores: cores.physical.len(),
            memory_bytes: memory_bytes(),
        }
    }

    /// The workers that can be timed here as they are: one on each core.
    pub fn workers_with_own_core(&self) -> usize {
        self.physical_cores
    }

    /// The machine as a table of two columns.
    pub fn table(&self) -> Table {
        Table::new("This machine", ["what", "value"])
            .row(["processor".to_string(), self.cpu.clone()])
            .row(["cores".to_string(), self.physical_cores.to_string()])
            .row(["hardware threads".to_string(), self.logical_cores.to_string()])
            .row(["memory".to_string(), gigabytes(self.memory_bytes)])
    }

    /// Shows the machine below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.physical_cores == 1 { "core" } else { "cores" };
        write!(f, "{}, {} {plural}, {}", self.cpu, self.physical_cores, gigabytes(self.memory_bytes))
    }
}

/// A pool of one thread that is tied to one core.
///
/// Candle's matrix product takes as many threads as the pool it is called from has, so work inside
/// `pool.install(..)` uses this core and no other. Slots beyond the last core start again at the first one.
///
/// # Errors
/// [`Error::Worker`] when the operating system gives no further thread.
pub(crate) fn core_pool(slot: usize) -> Result<rayon::ThreadPool> {
    threads_pool(1, slot)
}

/// A pool of `threads` threads, each tied to a core of its own from `first_slot` on.
pub(crate) fn threads_pool(threads: usize, first_slot: usize) -> Result<rayon::ThreadPool> {
    process::prepare();
    // Looked up before a thread is tied to one of them.
    cores();
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    built(builder.start_handler(move |index| tie_to_core(first_slot + index)))
}

/// A pool of `threads` threads that are tied to no other core than the calling thread is.
pub(crate) fn free_threads_pool(threads: usize) -> Result<rayon::ThreadPool> {
    process::prepare();
    built(rayon::ThreadPoolBuilder::new().num_threads(threads))
}

/// A pool of the calling thread alone, for as long as it is kept: matrix products on this thread are not shared with others.
pub(crate) fn this_thread_pool() -> Result<rayon::ThreadPool> {
    process::prepare();
    built(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread())
}

fn built(builder: rayon::ThreadPoolBuilder) -> Result<rayon::ThreadPool> {
    builder.build().map_err(|cause| {
        Error::Worker(format!(
            "no thread could be started for a worker: {cause}; close other programs and run the cell again"
        ))
    })
}

/// Ties the calling thread, and those that it starts from now on, to a core. Slots beyond the last core start again at the
/// first one.
pub(crate) fn tie_to_core(slot: usize) {
    let physical = &cores().physical;
    if let Some(core) = physical.get(slot % physical.len().max(1)) {
        // It only makes timings steadier; where it is not allowed the work still runs.
        core_affinity::set_for_current(*core);
    }
}

struct Cores {
    /// One hardware thread of each core.
    physical: Vec<core_affinity::CoreId>,
    logical: usize,
}

/// The cores of this process, looked up once: a thread that is tied to a core sees only that one.
fn cores() -> &'static Cores {
    static CORES: OnceLock<Cores> = OnceLock::new();
    CORES.get_or_init(|| {
        // A control group's share of time is not in the mask, but the standard library knows it.
        let share = std::thread::available_parallelism().map_or(1, |n| n.get());
        let mask = core_affinity::get_core_ids().unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut physical: Vec<_> = mask.iter().copied().filter(|core| seen.insert(core_identity(core.id))).collect();
        physical.truncate(share);
        if physical.is_empty() {
            physical = (0..share).map(|id| core_affinity::CoreId { id }).collect();
        }
        Cores { logical: share.max(physical.len()), physical }
    })
}

/// Package and core that a hardware thread belongs to; the thread itself where this is not known.
fn core_identity(logical: usize) -> (usize, usize) {
    let read = |name: &str| -> Option<usize> {
        let path = format!("/sys/devices/system/cpu/cpu{logical}/topology/{name}");
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    match (read("physical_package_id"), read("core_id")) {
        (Some(package), Some(core)) => (package, core),
        _ => (usize::MAX, logical),
    }
}

fn cpu_name() -> String {
    let listed = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_string())
    });
    listed.unwrap_or_else(|| format!("{} processor", std::env::consts::ARCH))
}

fn memory_bytes() -> u64 {
    // SAFETY: sysconf only reads the configuration of the running system.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let installed = u64::try_from(pages).unwrap_or(0) * u64::try_from(page).unwrap_or(0);
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    limit.map_or(installed, |limit: u64| limit.min(installed))
}

fn gigabytes(bytes: u64) -> String {
    if bytes == 0 {
        return "unknown".to_string();
    }
    format!("{:.1} GB", bytes as f64 / 1e9)
}
