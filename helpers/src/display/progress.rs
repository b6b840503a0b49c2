//! How far a long piece of work is.
//!
//! In Onramp's kernel a bar, updated in place; elsewhere now and then a line on standard error.

use std::time::{Duration, Instant};

use super::table::escape;
use super::{Bundle, Live, significant};

/// Work that is over sooner shows nothing.
const WORTH_SHOWING: Duration = Duration::from_millis(500);
/// Between two updates of a bar.
const UPDATE_EVERY: Duration = Duration::from_millis(100);
/// Between two lines in a terminal or a log.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Set to `0` to have no lines outside a notebook.
const PROGRESS_VARIABLE: &str = "ONRAMP_PROGRESS";

/// A bar with rate, remaining time and the current figure of merit.
///
/// ```
/// use onramp::display::Progress;
///
/// let mut progress = Progress::new("counting", Some(100));
/// for number in 0..100 {
///     progress.note(format!("at {number}"));
///     progress.advance(1);
/// }
/// ```
#[derive(Debug)]
pub struct Progress {
    what: String,
    total: Option<usize>,
    done: usize,
    note: String,
    picture: String,
    started: Instant,
    shown: Option<Instant>,
    interval: Duration,
    live: Live,
}

impl Progress {
    /// Begins now. Without a total there is no remaining time.
    pub fn new(what: impl Into<String>, total: Option<usize>) -> Progress {
        let interval = if super::is_live() { UPDATE_EVERY } else { LINE_EVERY };
        Progress {
            what: what.into(),
            total,
            done: 0,
            note: String::new(),
            picture: String::new(),
            started: Instant::now(),
            shown: None,
            interval,
            live: Live::new(),
        }
    }

    /// The same, updated at most once in this time: what is being timed is disturbed by each update.
    pub fn at_most_every(mut self, interval: Duration) -> Progress {
        self.interval = self.interval.max(interval);
        self
    }

    /// The current figure of merit, such as `loss 0.31`; shown with the next update.
    pub fn note(&mut self, note: impl Into<String>) {
        self.note = note.into();
    }

    /// A picture below the bar, as an `svg` element; gone when the work is done.
    pub(crate) fn picture(&mut self, svg: String) {
        self.picture = svg;
    }

    /// So many more steps are done. True when that was shown.
    pub fn advance(&mut self, steps: usize) -> bool {
        self.done += steps;
        let due = self.is_due();
        if due {
            self.shown = Some(Instant::now());
            self.show(false);
        }
        due
    }

    /// True when the next [`Progress::advance`] is going to be shown; for pictures that take time to make.
    pub(crate) fn is_due(&self) -> bool {
        match self.shown {
            None => self.started.elapsed() >= WORTH_SHOWING,
            Some(shown) => shown.elapsed() >= self.interval,
        }
    }

    fn show(&mut self, last: bool) {
        let line = self.line(last, self.started.elapsed().as_secs_f64());
        if super::is_live() {
            let html = self.html(last, &line);
            self.live.update(&Bundle::new().text(line).html(html));
        } else if std::env::var_os(PROGRESS_VARIABLE).is_none_or(|value| value != "0") {
            eprintln!("{line}");
        }
    }

    /// Everything in one line, after so many `seconds`.
    fn line(&self, last: bool, seconds: f64) -> String {
        let mut parts = vec![match self.total {
            Some(total) => format!("{}: {} of {total}", self.what, self.done),
            None => format!("{}: {}", self.what, self.done),
        }];
        let rate = self.done as f64 / seconds;
        if last {
            parts.push(format!("{} s", significant(seconds)));
        } else if self.done > 0 {
            parts.push(if rate >= 1.0 {
                format!("{}/s", significant(rate))
            } else {
                format!("{} s each", significant(1.0 / rate))
            });
            if let Some(total) = self.total {
                parts.push(format!("{:.0} s left", total.saturating_sub(self.done) as f64 / rate));
            }
        }
        if !self.note.is_empty() {
            parts.push(self.note.clone());
        }
        parts.join(", ")
    }

    fn html(&self, last: bool, line: &str) -> String {
        let line = escape(line);
        if last {
            return format!("<div class=\"onramp-progress\" style=\"opacity:0.7;padding:2px 12px\">{line}</div>");
        }
        let value = self.total.map_or(String::new(), |total| format!(" max=\"{total}\" value=\"{}\"", self.done));
        format!(
            "<div class=\"onramp-progress\" style=\"padding:2px 12px\"><progress{value} aria-label=\"{}\" \
             style=\"width:240px;vertical-align:middle\"></progress> {line}{}</div>",
            escape(&self.what),
            self.picture
        )
    }
}

impl Drop for Progress {
    /// The last state stays, as a line.
    fn drop(&mut self) {
        if self.shown.is_some() {
            self.show(true);
        }
    }
}

/// The items, with a [`Progress`] that advances by one for each.
///
/// ```
/// use onramp::display::progress;
///
/// let sum: u64 = progress("summing", 0..1_000).sum();
/// # assert_eq!(sum, 499_500);
/// ```
pub fn progress<I: IntoIterator>(what: impl Into<String>, items: I) -> WithProgress<I::IntoIter> {
    let items = items.into_iter();
    let (least, most) = items.size_hint();
    WithProgress { progress: Progress::new(what, most.filter(|most| *most == least)), items, begun: false }
}

/// See [`progress`].
#[derive(Debug)]
pub struct WithProgress<I> {
    items: I,
    progress: Progress,
    begun: bool,
}

impl<I> WithProgress<I> {
    /// The current figure of merit, as [`Progress::note`].
    pub fn note(&mut self, note: impl Into<String>) {
        self.progress.note(note);
    }
}

impl<I: Iterator> Iterator for WithProgress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        // Whoever asks for the next one is done with the one before.
        if self.begun {
            self.progress.advance(1);
        }
        let item = self.items.next();
        self.begun = item.is_some();
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rate_remaining_time_and_figure_of_merit() {
        let mut progress = Progress::new("training", Some(300));
        progress.done = 100;
        progress.note("loss 0.31");
        assert_eq!(progress.line(false, 10.0), "training: 100 of 300, 10/s, 20 s left, loss 0.31");
        progress.done = 4;
        assert_eq!(progress.line(false, 10.0), "training: 4 of 300, 2.50 s each, 740 s left, loss 0.31");
        assert_eq!(progress.line(true, 10.0), "training: 4 of 300, 10 s, loss 0.31");
    }

    #[test]
    fn short_work_shows_nothing_and_an_iterator_counts_what_is_done() {
        let mut items = progress("looking", vec![1, 2, 3]);
        assert_eq!(items.next(), Some(1));
        assert_eq!(items.progress.done, 0);
        assert_eq!(items.by_ref().count(), 2);
        assert_eq!((items.progress.done, items.progress.total), (3, Some(3)));
        assert!(items.progress.shown.is_none());
        assert_eq!(progress("looking", (0..9).filter(|n| n % 2 == 0)).progress.total, None);
    }
}
