//! Timing several variants fairly.

use std::time::Duration;

use crate::Error;
use crate::display::{Progress, is_live};
use crate::interrupt::check_interrupt;
use crate::measure::Estimate;

/// Between two updates of what the reader sees meanwhile.
const BETWEEN_UPDATES: Duration = Duration::from_secs(1);

/// An update keeps Jupyter and the browser busy for a moment, often on this machine; nothing is timed meanwhile.
const SETTLING: Duration = Duration::from_millis(50);

/// Runs `warmups` unrecorded rounds, then `repeats` recorded ones. Every variant runs once in a round.
///
/// Taking turns matters: a laptop slows down when it gets warm or another program wakes up. Timed one
/// after the other, whichever variant ran at the bad moment would look worse; in turn, each round
/// treats all of them alike, and [`Estimate::ratio`] compares them round by round.
///
/// Each closure does its work once and returns the seconds that it took. The results come in the order of `variants`.
///
/// # Errors
/// [`Error::InvalidInput`] for 0 repeats or no variant, and whatever a variant returns;
/// [`Error::Interrupted`] between two of them.
pub fn interleaved(
    repeats: usize,
    warmups: usize,
    variants: &mut [&mut dyn FnMut() -> Result<f64, Error>],
) -> Result<Vec<Estimate>, Error> {
    interleaved_shown(repeats, warmups, variants, &mut |_| String::new())
}

/// As [`interleaved`], with a `picture` of the samples so far, an `svg` element, below the bar that a notebook shows.
pub(crate) fn interleaved_shown(
    repeats: usize,
    warmups: usize,
    variants: &mut [&mut dyn FnMut() -> Result<f64, Error>],
    picture: &mut dyn FnMut(&[Vec<f64>]) -> String,
) -> Result<Vec<Estimate>, Error> {
    if repeats == 0 {
        return Err(Error::InvalidInput(
            "repeats is 0, so nothing would be measured; ask for at least 1, better 7".into(),
        ));
    }
    if variants.is_empty() {
        return Err(Error::InvalidInput("there are 0 variants to measure; pass at least one".into()));
    }
    let mut progress =
        Progress::new("measuring", Some((warmups + repeats) * variants.len())).at_most_every(BETWEEN_UPDATES);
    let mut samples = vec![Vec::with_capacity(repeats); variants.len()];
    for round in 0..warmups + repeats {
        for (place, variant) in variants.iter_mut().enumerate() {
            check_interrupt()?;
            let seconds = variant()?;
            if round >= warmups {
                samples[place].push(seconds);
            }
            if progress.is_due() && is_live() {
                progress.picture(picture(&samples));
            }
            if progress.advance(1) {
                std::thread::sleep(SETTLING);
            }
        }
    }
    samples.into_iter().map(Estimate::from_samples).collect()
}
