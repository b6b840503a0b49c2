//! Several lists of numbers taken as one, and parts of it, while some parts are lent to other threads.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

use super::Action;

/// Lists that are used as if they stood one after the other in a single one.
///
/// They are reached through pointers and not through borrowed slices, because other threads read some elements while
/// others are written to; no element is used in both ways at once.
pub(super) struct Lists<'a> {
    lists: Vec<NonNull<[f32]>>,
    borrowed: PhantomData<&'a mut [f32]>,
}

/// Some consecutive elements of [`Lists`], which may lie in several lists.
pub(super) struct Pieces(Vec<NonNull<[f32]>>);

// SAFETY: pieces are nothing but places of numbers; whoever reads or writes there promises that it is allowed.
unsafe impl Send for Pieces {}

impl<'a> Lists<'a> {
    pub(super) fn new(lists: &'a mut [&mut [f32]]) -> Self {
        let lists = lists.iter_mut().map(|list| NonNull::from(&mut **list)).collect();
        Self { lists, borrowed: PhantomData }
    }

    /// The elements in this range, which must be there.
    pub(super) fn pieces(&self, elements: &Range<usize>) -> Pieces {
        let mut pieces = Vec::new();
        let mut start = 0;
        for list in &self.lists {
            let end = start + list.len();
            let (from, to) = (elements.start.clamp(start, end), elements.end.clamp(start, end));
            if from < to {
                // SAFETY: both ends lie in this list.
                let first = unsafe { list.cast::<f32>().add(from - start) };
                pieces.push(NonNull::slice_from_raw_parts(first, to - from));
            }
            start = end;
        }
        debug_assert!(elements.end <= start, "{elements:?} of {start} elements");
        Pieces(pieces)
    }
}

impl Pieces {
    /// Elements in all pieces together.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.len()).sum()
    }

    /// Lets `read` see one piece after the other.
    ///
    /// # Safety
    /// The lists must still be there, and nobody may write to these elements.
    pub(super) unsafe fn for_each(&self, mut read: impl FnMut(&[f32])) {
        for piece in &self.0 {
            // SAFETY: as the caller promises.
            read(unsafe { piece.as_ref() });
        }
    }

    /// Adds the numbers to the first of these elements, or puts them in their place; the next call goes on behind them.
    ///
    /// # Safety
    /// The lists must still be there, and nobody else may use these elements.
    pub(super) unsafe fn take_in(&mut self, mut numbers: &[f32], action: Action) {
        while let Some(piece) = self.0.first_mut().filter(|_| !numbers.is_empty()) {
            // SAFETY: as the caller promises.
            let (own, rest) = unsafe { piece.as_mut() }.split_at_mut(numbers.len().min(piece.len()));
            let (now, later) = numbers.split_at(own.len());
            match action {
                Action::Add => add(own, now),
                Action::Replace => own.copy_from_slice(now),
            }
            numbers = later;
            if rest.is_empty() {
                self.0.remove(0);
            } else {
                *piece = NonNull::from(rest);
            }
        }
    }
}

/// A function of its own: inside the loop above the compiler can't tell that the two don't overlap, and adds one number at a
/// time.
#[inline(never)]
fn add(own: &mut [f32], other: &[f32]) {
    own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_two_cuttings_meet() {
        let (mut a, mut b, mut c) = (vec![0.0, 1.0, 2.0], vec![], vec![3.0, 4.0]);
        let (mut x, mut y) = (vec![10.0, 20.0], vec![30.0, 40.0, 50.0]);
        let (mut ours, mut theirs) = ([&mut a[..], &mut b[..], &mut c[..]], [&mut x[..], &mut y[..]]);
        let (ours, theirs) = (Lists::new(&mut ours), Lists::new(&mut theirs));
        let mut own = ours.pieces(&(1..5));
        assert_eq!((own.len(), theirs.pieces(&(1..5)).len()), (4, 4));
        // SAFETY: all lists are there, and only this thread uses them.
        unsafe { theirs.pieces(&(1..5)).for_each(|numbers| own.take_in(numbers, Action::Add)) };
        unsafe { theirs.pieces(&(0..1)).for_each(|numbers| ours.pieces(&(0..1)).take_in(numbers, Action::Replace)) };
        assert_eq!(own.len(), 0);
        assert_eq!((a, c), (vec![10.0, 21.0, 32.0], vec![43.0, 54.0]));
        assert_eq!((x, y), (vec![10.0, 20.0], vec![30.0, 40.0, 50.0]));
    }
}
