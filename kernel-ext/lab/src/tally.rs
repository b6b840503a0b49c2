//! Adds up what the test runners say at their ends.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed, or broke before they could run.
    pub failed: u64,
    /// Not run, for a reason that is printed.
    pub skipped: u64,
}

impl Tally {
    /// One test that passed.
    pub const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    /// One test that failed.
    pub const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    /// One test that was skipped.
    pub const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// Whether the project is proven by it: something ran and nothing failed.
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Reads a line of a test runner; a line that sums nothing up gives `None`.
    pub fn of_line(line: &str) -> Option<Self> {
        Self::of_cargo(line).or_else(|| Self::of_pytest(line))
    }

    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s`
    fn of_cargo(line: &str) -> Option<Self> {
        let rest = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
        Self::of_parts(rest.split(';'))
    }

    /// `===== 12 passed, 1 failed, 2 skipped in 3.21s =====`, with or without the rules
    fn of_pytest(line: &str) -> Option<Self> {
        let (counts, seconds) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
        if !seconds.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        Self::of_parts(counts.split(','))
    }

    fn of_parts<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut tally = Self::default();
        let mut known = false;
        for part in parts {
            let mut words = part.split_whitespace();
            let (Some(number), Some(kind)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match kind {
                "passed" | "xpassed" => tally.passed += number,
                "failed" | "error" | "errors" => tally.failed += number,
                "skipped" | "ignored" | "xfailed" => tally.skipped += number,
                _ => continue,
            }
            known = true;
        }
        known.then_some(tally)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Option<Tally> {
        Some(Tally { passed, failed, skipped })
    }

    #[test]
    fn closing_lines_of_cargo_are_read() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s";
        assert_eq!(Tally::of_line(line), tally(12, 2, 1));
        assert_eq!(Tally::of_line("test stamp::tests::a_name ... ok"), None);
    }

    #[test]
    fn closing_lines_of_pytest_are_read() {
        assert_eq!(
            Tally::of_line("=========== 1 failed, 12 passed, 2 skipped, 1 error in 95.30s (0:01:35) ==========="),
            tally(12, 2, 2)
        );
        assert_eq!(Tally::of_line("7 passed in 3.1s"), tally(7, 0, 0));
        assert_eq!(Tally::of_line("the cell failed in this way"), None);
    }

    #[test]
    fn sums_are_printed_in_the_form_that_ci_reads() {
        let mut sum = Tally::PASSED;
        sum += Tally { passed: 11, failed: 0, skipped: 1 };
        assert_eq!(sum.to_string(), "12 passed, 0 failed, 1 skipped");
        assert!(sum.is_success());
        sum += Tally::FAILED;
        assert!(!sum.is_success());
    }

    #[test]
    fn a_run_without_tests_is_no_success() {
        assert!(!Tally::default().is_success());
        assert!(!Tally::SKIPPED.is_success());
    }
}
