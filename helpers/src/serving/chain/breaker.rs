//! A circuit breaker: a hop that keeps failing is left alone for a while, so that calls need not wait for it to fail again.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// How long it stays open before one call tries again.
const REST: Duration = Duration::from_secs(1);

/// Closed while calls succeed, open after failures, tried by one call at a time after a rest.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// Calls before this moment are refused.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether to call at all. After the rest the first one that asks may, and the others wait for what comes of it.
    ///
    /// # Errors
    /// How long it is still open.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.open_until {
            None => Ok(()),
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                self.open_until = Some(now + REST);
                Ok(())
            }
        }
    }

    /// Takes in what came of a call.
    pub(super) fn record(&mut self, succeeded: bool, now: Instant) {
        if succeeded {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.open_until = Some(now + REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, FAILURES, REST};
    use std::time::{Duration, Instant};

    #[test]
    fn failures_in_a_row_open_it_and_a_success_closes_it() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            breaker.record(false, start);
        }
        // A success in between starts the count anew.
        breaker.record(true, start);
        for _ in 1..FAILURES {
            breaker.record(false, start);
            assert_eq!(breaker.admit(start), Ok(()));
        }
        breaker.record(false, start);
        assert_eq!(breaker.admit(start), Err(REST));
        assert_eq!(breaker.admit(start + REST / 4), Err(3 * REST / 4));
        // One tries; the others wait for it.
        let later = start + REST;
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(REST));
        breaker.record(false, later + Duration::from_millis(10));
        assert!(breaker.admit(later + REST).is_err(), "it fails again: another rest");
        assert_eq!(breaker.admit(later + 2 * REST), Ok(()));
        breaker.record(true, later + 2 * REST);
        assert_eq!(breaker.admit(later + 2 * REST), Ok(()));
    }
}
