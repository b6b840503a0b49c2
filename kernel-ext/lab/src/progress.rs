//! Shows how far a long step has come: a bar in a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, a line is printed at most this often…
const QUIET: Duration = Duration::from_secs(20);
/// …or whenever another tenth of the work is done.
const TENTHS: u64 = 10;

/// The progress of one step.
pub struct Progress {
    title: String,
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
    last_tenth: u64,
}

impl Progress {
    /// Starts a step; `title` is what the reader sees, such as `3/6 helper library`.
    pub fn new(title: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(spinner());
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() {
            eprintln!("{title} …");
        }
        let now = Instant::now();
        Self { title: title.to_owned(), bar, total: 0, done: 0, started: now, last_line: now, last_tenth: 0 }
    }

    /// Says how many parts the step has.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        if let Some(bar) = &self.bar
            && total > 0
        {
            bar.set_length(total);
            bar.set_style(counted());
        }
    }

    /// Says how many parts are done.
    pub fn set_done(&mut self, done: u64) {
        // The total is counted from the list of packages; should one part more turn up, the bar stays honest.
        self.done = done;
        if done > self.total && self.total > 0 {
            self.set_total(done);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Says what is being worked on.
    pub fn working_on(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => self.line_now_and_then(what),
        }
    }

    /// Prints a line that stays, such as that another program holds a lock.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{}: {text}", self.title)),
            None => eprintln!("{}: {text}", self.title),
        }
    }

    /// Ends the step with a line that stays, and returns how long it took.
    pub fn finish(self) -> Duration {
        let elapsed = self.started.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: done in {}", self.title, readable(elapsed));
        elapsed
    }

    /// Ends the step without a word: the error that follows says what happened.
    pub fn abandon(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line_now_and_then(&mut self, what: &str) {
        let tenth = (self.done * TENTHS).checked_div(self.total).unwrap_or(0);
        if tenth == self.last_tenth && self.last_line.elapsed() < QUIET {
            return;
        }
        self.last_tenth = tenth;
        self.last_line = Instant::now();
        let elapsed = readable(self.started.elapsed());
        if self.total > 0 {
            eprintln!("{}: {} of {}, {elapsed}, now {what}", self.title, self.done, self.total);
        } else {
            eprintln!("{}: {elapsed}, now {what}", self.title);
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}  {spinner} {elapsed}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn counted() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}  {bar:28} {pos}/{len}  {elapsed}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A duration as a person says it: `0.4 s`, `12 s`, `3 min 5 s`.
pub fn readable(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 99.5 {
        format!("{seconds:.0} s")
    } else {
        let whole = duration.as_secs();
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_says_them() {
        assert_eq!(readable(Duration::from_millis(412)), "0.4 s");
        assert_eq!(readable(Duration::from_millis(12_300)), "12 s");
        assert_eq!(readable(Duration::from_secs(185)), "3 min 5 s");
    }

    #[test]
    fn a_part_more_than_expected_raises_the_total() {
        let mut progress = Progress::new("test");
        progress.set_total(2);
        progress.set_done(3);
        assert_eq!((progress.done, progress.total), (3, 3));
    }
}
