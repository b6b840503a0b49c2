//! Waking at a moment that is told in microseconds.
//!
//! The runtime's own timer counts in milliseconds, in which a busy service answers dozens of requests. The system has one
//! that does not (timerfd); where it is missing, the runtime's is used, and the generator's lateness shows it.

use std::time::{Duration, Instant};

use crate::error::Result;

#[cfg(not(target_os = "linux"))]
pub(crate) use coarse::Alarm;
#[cfg(target_os = "linux")]
pub(crate) use precise::Alarm;

#[cfg(target_os = "linux")]
mod precise {
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Duration, Instant, Result};
    use crate::error::Error;

    /// One alarm, which can be set again and again.
    pub(crate) struct Alarm(AsyncFd<OwnedFd>);

    impl Alarm {
        /// Belongs to the runtime that is entered.
        pub(crate) fn new() -> Result<Self> {
            let refused = |cause| Error::io("making a timer", cause);
            // SAFETY: makes a new descriptor, or answers with a negative number.
            let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
            if timer < 0 {
                return Err(refused(io::Error::last_os_error()));
            }
            // SAFETY: the descriptor was just made, and nobody else has it.
            let timer = unsafe { OwnedFd::from_raw_fd(timer) };
            // SAFETY: the descriptor is owned, and neither closed nor replaced before the registration is dropped.
            let alarm = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
            Ok(Self(alarm.map_err(|cause| refused(cause.into()))?))
        }

        /// Returns at `moment`, or at once when it has passed.
        pub(crate) async fn wait_until(&self, moment: Instant) -> Result<()> {
            let refused = |cause| Error::io("waiting for a timer", cause);
            // A time of 0 would switch the timer off.
            let left = moment.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let nothing = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let value = libc::timespec {
                tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let setting = libc::itimerspec { it_interval: nothing, it_value: value };
            let timer = self.0.get_ref().as_raw_fd();
            // SAFETY: the descriptor is a timer's, and `setting` is only read.
            if unsafe { libc::timerfd_settime(timer, 0, &raw const setting, std::ptr::null_mut()) } != 0 {
                return Err(refused(io::Error::last_os_error()));
            }
            loop {
                let mut ready = self.0.readable().await.map_err(refused)?;
                let mut count = [0_u8; 8];
                let read = ready.try_io(|timer| {
                    // SAFETY: at most 8 bytes are written to the 8 that are there.
                    let read = unsafe { libc::read(timer.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
                    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
                });
                match read {
                    Ok(result) => return result.map_err(refused),
                    // It was ready for an earlier setting.
                    Err(_would_block) => {}
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use super::{Instant, Result};

    /// One alarm, which can be set again and again.
    pub(crate) struct Alarm;

    impl Alarm {
        pub(crate) fn new() -> Result<Self> {
            Ok(Self)
        }

        /// Returns a millisecond or so after `moment`.
        pub(crate) async fn wait_until(&self, moment: Instant) -> Result<()> {
            tokio::time::sleep_until(moment.into()).await;
            Ok(())
        }
    }
}
