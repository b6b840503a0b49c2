//! The process's memory allocator, told once to keep large blocks.
//!
//! Each tensor operation allocates its result. The C library's allocator (glibc) asks the system for
//! each large block and gives it back at once, so every operation pays for fresh pages: about half of a training
//! step's time in the worst case. Keeping the blocks makes a step cost its arithmetic.

use std::sync::Once;

/// Tells the allocator to keep large blocks for the next operation. Only the first call acts.
///
/// This holds for the whole process, and its memory no longer shrinks after a peak. On systems without glibc
/// it does nothing.
pub fn keep_large_blocks() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
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
    });
}
