//! What is set once for the whole process, so that a step costs its arithmetic and a worker stays on its core.
//!
//! Three things that candle and the C library do by default make timings of small training steps worthless:
//!
//! - Each tensor operation allocates its result. glibc asks the system for each large block and gives it back at
//!   once, so every operation pays for fresh pages. So large blocks are kept. (Threads keep parts of memory of their own,
//!   which those that come later take over: in a single one two workers wait for each other's lock.)
//! - Candle spreads element-wise operations over one pool of threads for the whole process, whichever thread calls
//!   them. Workers that are meant to have a core each would take turns in that pool and wait for each other, and a
//!   single "one-thread" worker would use all cores. So this pool gets no threads: each worker does its own
//!   element-wise operations. (Matrix products use the rayon pool of the calling thread and are not affected.)
//! - Before each matrix product candle asks how many threads rayon has, and without the environment variable it reads
//!   `/proc/cpuinfo` to find out. So the variable is set, to the number of cores, unless it already is.

use std::sync::Once;

use crate::machine::Machine;

/// Names the number of threads of candle's pool for element-wise operations, which reads it only once.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";
/// Names the number of threads for matrix products, which is read before each of them.
const RAYON_THREADS: &str = "RAYON_NUM_THREADS";

/// Sets all three. Only the first call acts; it should come before the first tensor and the first worker thread.
pub(crate) fn prepare() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        keep_large_blocks();
        keep_elementwise_operations_on_their_thread();
        say_how_many_threads_there_are();
    });
}

/// The process's memory no longer shrinks after a peak. On systems without glibc nothing is changed.
fn keep_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // The highest threshold that glibc accepts for blocks of their own.
        const MMAP_THRESHOLD: libc::c_int = 32 << 20;
        const TRIM_THRESHOLD: libc::c_int = 1 << 30;
        // SAFETY: mallopt takes a lock of its own and only changes parameters of later allocations.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        }
    }
}

fn say_how_many_threads_there_are() {
    if std::env::var_os(RAYON_THREADS).is_none() {
        let cores = Machine::detect().physical_cores;
        // SAFETY: as below.
        unsafe { std::env::set_var(RAYON_THREADS, cores.to_string()) };
    }
}

/// Makes candle start its pool now, and without threads.
fn keep_elementwise_operations_on_their_thread() {
    let before = std::env::var_os(CANDLE_THREADS);
    // SAFETY: Rust's own readers of the environment share a lock with these writers. A reader in C could
    // see the change half-made; none runs in the moments between loading this library and its first tensor.
    unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    candle_core::utils::barrier_pool();
    match before {
        // SAFETY: as above.
        Some(before) => unsafe { std::env::set_var(CANDLE_THREADS, before) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(CANDLE_THREADS) },
    }
}
