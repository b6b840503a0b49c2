//! Waiting for a fraction of a millisecond without holding up a thread.

use std::time::{Duration, Instant};

use crate::load::Alarm;

/// Waits so long, and some tens of microseconds more. (tokio's own timer counts in whole milliseconds.)
pub(crate) async fn wait_precisely(duration: Duration) {
    if duration.is_zero() {
        return;
    }
    let end = Instant::now() + duration;
    let waited = match Alarm::new() {
        Ok(alarm) => alarm.wait_until(end).await,
        Err(none) => Err(none),
    };
    if waited.is_err() {
        // There are no more file handles: a coarse wait is better than none.
        tokio::time::sleep_until(end.into()).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that can't go on should say so and stop")]
mod tests {
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
