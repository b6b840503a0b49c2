//! Waiting for a fraction of a millisecond without holding up a thread.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits so long, and some tens of microseconds more. (tokio's own timer counts in whole milliseconds.)
pub(crate) async fn wait_precisely(duration: Duration) {
    if duration.is_zero() {
        return;
    }
    match Timer::start(duration) {
        // An error would come from a broken event loop, in which nothing else works either.
        Ok(timer) => drop(timer.0.readable().await),
        // There are no more file handles: a coarse wait is better than none.
        Err(_) => tokio::time::sleep(duration).await,
    }
}

/// A timer of the system that becomes readable at its end.
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn start(duration: Duration) -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let handle = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if handle < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is new and belongs to nobody else.
        let handle = unsafe { OwnedFd::from_raw_fd(handle) };
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let end = libc::timespec {
            tv_sec: duration.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        };
        let setting = libc::itimerspec { it_interval: once, it_value: end };
        // SAFETY: the setting outlives the call, and the old one is not asked for.
        if unsafe { libc::timerfd_settime(handle.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle belongs to what is returned, so it stays open until its registration ends.
        let registered = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
        Ok(Self(registered.map_err(|refused| refused.into_parts().1)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on should say so and stop")]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Whoever else uses the machine makes both longer, so they take turns, and their medians are compared.
    #[test]
    fn a_short_wait_is_closer_to_what_was_asked_for_than_that_of_tokio_and_never_shorter() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wanted = Duration::from_micros(1_300);
        let late = |start: Instant| start.elapsed().checked_sub(wanted).unwrap();
        let medians = || {
            let (mut own, mut tokios) = (Vec::new(), Vec::new());
            for _ in 0..51 {
                let start = Instant::now();
                runtime.block_on(wait_precisely(wanted));
                own.push(late(start));
                let start = Instant::now();
                runtime.block_on(async { tokio::time::sleep(wanted).await });
                tokios.push(late(start));
            }
            own.sort();
            tokios.sort();
            (own[25], tokios[25])
        };
        let tries: Vec<_> = (0..3).map(|_| medians()).collect();
        assert!(tries.iter().any(|(own, tokios)| 2 * *own < *tokios), "too late by (own, tokio): {tries:?}");
    }

    #[test]
    fn many_wait_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let start = Instant::now();
        runtime.block_on(async {
            let waits: Vec<_> = (0..500).map(|_| tokio::spawn(wait_precisely(Duration::from_millis(20)))).collect();
            for wait in waits {
                wait.await.unwrap();
            }
        });
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(20) && took < Duration::from_secs(5), "{took:?}");
    }
}
