//! In which order a training run sees its rows.

/// Goes through all rows in a fresh random order each time, a step's worth at once.
pub(crate) struct RowOrder {
    rows: Vec<usize>,
    per_step: usize,
    pub(crate) next: usize,
    pub(crate) seed: u64,
}

impl RowOrder {
    /// `per_step` must not be above `rows`.
    pub(crate) fn new(rows: usize, per_step: usize, seed: u64) -> Self {
        Self { rows: crate::data::shuffled_rows(rows, seed), per_step, next: 0, seed }
    }

    /// Goes on within the pass of this seed.
    pub(crate) fn go_to(&mut self, seed: u64, next: usize) {
        self.rows = crate::data::shuffled_rows(self.rows.len(), seed);
        (self.seed, self.next) = (seed, next);
    }

    /// The next step's rows; what is left over at the end of a pass is skipped.
    pub(crate) fn next_rows(&mut self) -> &[usize] {
        if self.next + self.per_step > self.rows.len() {
            self.seed = self.seed.wrapping_add(0x9e37_79b9);
            self.rows = crate::data::shuffled_rows(self.rows.len(), self.seed);
            self.next = 0;
        }
        let start = self.next;
        self.next += self.per_step;
        &self.rows[start..self.next]
    }
}
