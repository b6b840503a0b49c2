//! Processes below this one: started so that they end with it, found, and ended.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Children of a process that ends become this process's children, so that they can be found.
pub fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("cannot become a subreaper")
}

/// Starts `command` so that it is killed when this process ends, however it ends.
pub fn spawn_tied_to_parent(mut command: Command) -> Result<Child> {
    // SAFETY: prctl is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            Ok(())
        });
    }
    command.spawn().context("cannot start the process that runs cells")
}

/// A descriptor that becomes readable when the process ends.
pub fn exit_of(pid: u32) -> Result<OwnedFd> {
    // SAFETY: the call makes a new descriptor or fails; it is owned here alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0);
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("cannot watch the process that runs cells");
        }
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// From now on [`peak_memory`] counts anew.
pub fn forget_peak_memory(pid: u32) {
    // Where the system has no such counter, the peak is that of the whole life.
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Most memory that the process held, in bytes.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Kills every process below this one.
pub fn end_descendants() {
    let me = std::process::id() as i32;
    // A process may start another while it is being looked for: until none is left, or nothing changes.
    for _ in 0..10 {
        let descendants = descendants_of(me);
        if descendants.is_empty() {
            return;
        }
        for pid in descendants {
            // SAFETY: plain system calls; a pid that is gone is an error that says so.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn descendants_of(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in brackets, may contain anything; state and parent follow it.
        let mut after_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = after_name.next();
        if let Some(parent) = after_name.next().and_then(|p| p.parse().ok())
            && (state != Some("Z") || parent == root)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        next.extend(&below);
        found.extend(below);
    }
    found
}
