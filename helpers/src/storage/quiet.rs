//! Silence for a reader's panics that are answered as errors.
//!
//! Damaged bytes can make polars panic on a thread of its own. The panic comes back to the caller and is told there, with the
//! file and the row group; the text that the standard hook prints meanwhile would only look like a crash.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Reads that go on now, on any thread.
static READING: AtomicUsize = AtomicUsize::new(0);
/// The hook is put before the one that was there, once; it stays, because another may have been put before it since.
static HOOK: Once = Once::new();

/// What `read` returns, or the text that it panics with. While it goes on, panics inside polars are not printed; all others are.
pub(super) fn quietly<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    /// Counts down after a panic too.
    struct Reading;
    impl Drop for Reading {
        fn drop(&mut self) {
            READING.fetch_sub(1, Ordering::Relaxed);
        }
    }
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if READING.load(Ordering::Relaxed) == 0 || !is_polars(panic) {
                before(panic);
            }
        }));
    });
    READING.fetch_add(1, Ordering::Relaxed);
    let _reading = Reading;
    catch_unwind(AssertUnwindSafe(read)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unreadable".to_string())
    })
}

/// Whether it began in the source of one of polars' crates, which lie in folders such as `polars-parquet-0.55.2`.
fn is_polars(panic: &PanicHookInfo) -> bool {
    panic.location().is_some_and(|place| place.file().split(['/', '\\']).any(|part| part.starts_with("polars-")))
}
