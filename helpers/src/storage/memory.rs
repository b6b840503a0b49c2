//! Memory of this process, as Linux counts it.

use std::fs;

/// Bytes in use now.
pub(super) fn now() -> u64 {
    status("VmRSS")
}

/// The most bytes that were ever in use.
pub(super) fn peak() -> u64 {
    status("VmHWM")
}

/// A line of `/proc/self/status`, in bytes; 0 where there is none.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
