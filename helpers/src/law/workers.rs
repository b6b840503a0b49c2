//! What the laws over the number of workers share: which points they take, and what a reader should see in them.

use super::Point;
use crate::Error;
use crate::display::{chosen, significant};

/// Refuses points at fewer than one worker.
pub(super) fn refuse_parts_of_a_worker(points: &[Point]) -> Result<(), Error> {
    match points.iter().find(|point| point.x < 1.0) {
        None => Ok(()),
        Some(bad) => Err(Error::InvalidInput(format!(
            "there is a point at {} workers, but the law counts workers from 1; give the number of workers as x",
            chosen(bad.x)
        ))),
    }
}

/// Says which speed-ups lie above the number of workers, where the serial share would have to be below 0.
pub(super) fn super_linear(points: &[Point]) -> Option<String> {
    let above: Vec<String> = points
        .iter()
        .filter(|point| point.y.low > point.x)
        .map(|point| format!("{} at N = {}", point.y, chosen(point.x)))
        .collect();
    (!above.is_empty()).then(|| {
        format!(
            "The speed-up is super-linear ({}): f would have to be below 0 and is kept at 0 or above. Look for data that \
             fits into the caches of several workers but not of one, or for a baseline that was slower than it could be.",
            above.join(", ")
        )
    })
}

/// Says that fewer workers did better than the most workers, which a law that only rises can't show.
pub(super) fn retrograde(points: &[Point]) -> Option<String> {
    let last = points.iter().max_by(|a, b| a.x.total_cmp(&b.x))?;
    let best = points.iter().max_by(|a, b| a.y.median.total_cmp(&b.y.median))?;
    (best.x < last.x && best.y.low > last.y.high).then(|| {
        format!(
            "The points fall again, from {} at N = {} to {} at N = {}; this law can only rise. Fit Usl, which has a peak.",
            significant(best.y.median),
            chosen(best.x),
            significant(last.y.median),
            chosen(last.x)
        )
    })
}
