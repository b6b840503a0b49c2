//! Stopping a long call without losing what earlier cells made.
//!
//! When the learner presses Stop, Onramp's kernel first asks: it sets a flag, and every loop of this crate looks at
//! it between two steps and returns [`Error::Interrupted`]. So the process lives on, with all variables. Whoever
//! does not look is ended after five seconds.
//!
//! ```
//! use onramp::interrupt::check_interrupt;
//!
//! for step in 0..1_000 {
//!     check_interrupt()?;
//!     // one step of the work
//! }
//! # Ok::<(), onramp::Error>(())
//! ```

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::error::{Error, Result};

/// Names the file whose one byte is not 0 while the kernel asks for the end of the running cell.
const FLAG_VARIABLE: &str = "ONRAMP_INTERRUPT";

/// Between two looks at whether the learner pressed Stop, for whoever waits.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The flag; none outside a notebook.
static FLAG: OnceLock<Option<File>> = OnceLock::new();

/// Whether this thread may go on for another reason than the flag.
type Allowed = Rc<dyn Fn() -> Result<()>>;

thread_local! {
    static ALLOWED: RefCell<Option<Allowed>> = const { RefCell::new(None) };
}

/// Does `work`, in which [`check_interrupt`] on this thread also fails when `allowed` does. A worker whose team has
/// failed leaves its loops that way.
pub(crate) fn while_allowed<T>(allowed: Allowed, work: impl FnOnce() -> T) -> T {
    /// Puts the former one back, after a panic too.
    struct Former(Option<Allowed>);
    impl Drop for Former {
        fn drop(&mut self) {
            ALLOWED.set(self.0.take());
        }
    }
    let _former = Former(ALLOWED.replace(Some(allowed)));
    work()
}

/// Waits for what another thread sends; none when that has ended without a word.
///
/// # Errors
/// As for [`check_interrupt`].
pub(crate) fn receive<T>(receiver: &Receiver<T>) -> Result<Option<T>> {
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(sent) => return Ok(Some(sent)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => check_interrupt()?,
        }
    }
}

/// Call it between two steps of a loop of your own, so that Stop ends the loop and keeps your variables. It takes
/// less than a microsecond. Outside a notebook it does nothing but for the workers of a
/// [`Team`](crate::communication::Team).
///
/// # Errors
/// [`Error::Interrupted`] when the running cell was asked to stop; [`Error::Worker`] on a worker's thread when
/// another worker of its team has failed.
pub fn check_interrupt() -> Result<()> {
    let flag = FLAG.get_or_init(|| File::open(std::env::var_os(FLAG_VARIABLE)?).ok());
    let mut byte = [0];
    match flag.as_ref().map(|flag| flag.read_at(&mut byte, 0)) {
        Some(Ok(1)) if byte != [0] => Err(Error::Interrupted),
        _ => ALLOWED.with_borrow(Clone::clone).map_or(Ok(()), |allowed| allowed()),
    }
}
