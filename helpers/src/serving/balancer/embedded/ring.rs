//! A hash ring.

use sha2::{Digest, Sha256};

/// Points of each backend. The shares of n backends differ from 1/n by about one part in the square root of this.
const POINTS: usize = 256;

/// Backends on a ring, each at many points; a key belongs to the first backend at or after its own point.
///
/// When a backend goes, each of its points' keys go to whichever backend comes next there, and no other key moves.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Points in order, with their backends' numbers.
    points: Vec<(u64, usize)>,
}

impl Ring {
    pub(super) fn new(backends: impl IntoIterator<Item = usize>) -> Self {
        let on_ring = |backend: usize| (0..POINTS).map(move |point| (place(&format!("{backend}/{point}")), backend));
        let mut points: Vec<(u64, usize)> = backends.into_iter().flat_map(on_ring).collect();
        points.sort_unstable();
        Self { points }
    }

    /// The backend that a key belongs to, among those that can take it.
    pub(super) fn owner(&self, key: &str, can_take: impl Fn(usize) -> bool) -> Option<usize> {
        let key = place(key);
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|(_, backend)| *backend).find(|backend| can_take(*backend))
    }
}

/// Keys and backends are spread evenly over all numbers, whatever their names.
fn place(name: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    digest.iter().take(8).fold(0, |place, byte| place << 8 | u64::from(*byte))
}
