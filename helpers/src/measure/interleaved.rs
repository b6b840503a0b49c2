//! Timing several variants fairly.

use std::time::Duration;

use crate::Error;
use crate::display::Progress;
use crate::interrupt::check_interrupt;
use crate::measure::Estimate;

/// Between two updates of what the reader sees meanwhile.
const BETWEEN_UPDATES: Duration = Duration::from_secs(1);

/// An update keeps Jupyter and the browser busy for a moment, often on this machine; nothing is timed meanwhile.
const SETTLING: Duration = Duration::from_millis(50);

/// Runs each variant `warmups` times unrecorded, then `repeats` rounds in which every variant runs once.
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
    let mut once = |variant: &mut dyn FnMut() -> Result<f64, Error>| {
        check_interrupt()?;
        let seconds = variant()?;
        if progress.advance(1) {
            std::thread::sleep(SETTLING);
        }
        Ok::<f64, Error>(seconds)
    };
    for variant in variants.iter_mut() {
        for _ in 0..warmups {
            once(*variant)?;
        }
    }
    let mut samples = vec![Vec::with_capacity(repeats); variants.len()];
    for _ in 0..repeats {
        for (variant, samples) in variants.iter_mut().zip(&mut samples) {
            samples.push(once(*variant)?);
        }
    }
    samples.into_iter().map(Estimate::from_samples).collect()
}
