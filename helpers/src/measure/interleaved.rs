//! Timing several variants fairly.

use crate::Error;
use crate::measure::Estimate;

/// Runs each variant `warmups` times unrecorded, then `repeats` rounds in which every variant runs once.
///
/// Taking turns matters: a laptop slows down when it gets warm or another program wakes up. Timed one
/// after the other, whichever variant ran at the bad moment would look worse; in turn, each round
/// treats all of them alike, and [`Estimate::ratio`] compares them round by round.
///
/// Each closure does its work once and returns the seconds that it took. The results come in the order of `variants`.
///
/// # Errors
/// [`Error::InvalidInput`] for 0 repeats or no variant, and whatever a variant returns.
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
    for variant in variants.iter_mut() {
        for _ in 0..warmups {
            variant()?;
        }
    }
    let mut samples = vec![Vec::with_capacity(repeats); variants.len()];
    for _ in 0..repeats {
        for (variant, samples) in variants.iter_mut().zip(&mut samples) {
            samples.push(variant()?);
        }
    }
    samples.into_iter().map(Estimate::from_samples).collect()
}
