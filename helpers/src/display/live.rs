//! Results that are shown while a cell still runs, and change in place.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Bundle;

/// Something with a look of its own in a notebook.
pub trait Shown {
    /// Its forms, from text to page.
    fn bundle(&self) -> Bundle;
}

impl Shown for Bundle {
    fn bundle(&self) -> Bundle {
        self.clone()
    }
}

impl Shown for str {
    fn bundle(&self) -> Bundle {
        Bundle::new().text(self)
    }
}

impl Shown for String {
    fn bundle(&self) -> Bundle {
        Bundle::new().text(self)
    }
}

/// Shows something below the running cell, at once. Keep what it returns to put something else in its place later.
///
/// ```
/// use onramp::display::display;
///
/// let mut count = display("counting");
/// for number in 1..=3 {
///     count.update(&format!("{number} of 3"));
/// }
/// ```
pub fn display(what: &(impl Shown + ?Sized)) -> Live {
    let mut live = Live::new();
    live.update(what);
    live
}

/// A place below a cell whose content can be replaced, also by later cells.
///
/// Where nothing can be replaced, in a terminal, a log or another kernel, only the last content is printed, when this
/// value is dropped.
#[derive(Debug)]
pub struct Live {
    id: String,
    begun: bool,
    last: Option<Bundle>,
}

impl Live {
    /// A place that is empty.
    pub fn new() -> Live {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A restarted process counts from 0 again, on a page that shows what the one before it left.
        Live { id: format!("onramp-{}-{number}", std::process::id()), begun: false, last: None }
    }

    /// Puts this in the place of what was there.
    pub fn update(&mut self, what: &(impl Shown + ?Sized)) {
        let bundle = what.bundle();
        if super::is_live() {
            bundle.emit_at(&self.id, self.begun);
            self.begun = true;
        } else {
            self.last = Some(bundle);
        }
    }
}

impl Default for Live {
    fn default() -> Self {
        Live::new()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(last) = &self.last {
            last.emit();
        }
    }
}

/// Removes what the running cell has shown so far; with `wait` as soon as it shows something else, so that nothing
/// flickers. Does nothing where that is not possible.
pub fn clear_output(wait: bool) {
    if super::is_live() {
        Bundle::emit_clear(wait);
    }
}
