//! Numbers that one thread lends to another, which reads them where they are.
//!
//! Message-passing systems call it the rendezvous protocol: no copy is made, and the sender must leave the numbers alone
//! until the receiver has read them. For small messages waiting costs more than a copy, so those are sent eagerly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::pieces::Pieces;

/// Nobody reads the numbers yet, and the lender may withdraw them.
const OFFERED: u8 = 0;
/// The borrower reads them.
const READ: u8 = 1;
/// Nobody reads them any more.
const RETURNED: u8 = 2;

/// The lender's side. Whoever drops it has the numbers back: withdrawn, or after a read that is going on has ended.
pub(super) struct Lender(Arc<AtomicU8>);

/// The borrower's side.
pub(super) struct Loan {
    numbers: Pieces,
    state: Arc<AtomicU8>,
}

/// Lends numbers.
///
/// # Safety
/// They must stay where they are, and nobody may write to them, until the [`Lender`] says that they are back or is dropped.
/// It must be dropped, not forgotten.
pub(super) unsafe fn lend(numbers: Pieces) -> (Lender, Loan) {
    let state = Arc::new(AtomicU8::new(OFFERED));
    (Lender(Arc::clone(&state)), Loan { numbers, state })
}

impl Lender {
    /// Whether the numbers may be written to again.
    pub(super) fn is_back(&self) -> bool {
        self.0.load(Ordering::Acquire) == RETURNED
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        if self.0.compare_exchange(OFFERED, RETURNED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // A read takes as long as going over the numbers once.
            while !self.is_back() {
                std::thread::yield_now();
            }
        }
    }
}

impl Loan {
    /// Lets `read` use the numbers, piece by piece, and gives them back. False when they were withdrawn before.
    pub(super) fn read(self, read: impl FnMut(&[f32])) -> bool {
        if self.state.compare_exchange(OFFERED, READ, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        // SAFETY: the lender sees READ and keeps the numbers as they are until this loan is dropped, after `read` has
        // returned or panicked.
        unsafe { self.numbers.for_each(read) };
        true
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.state.store(RETURNED, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::pieces::Lists;
    use super::*;

    /// # Safety
    /// As for [`lend`].
    unsafe fn lend_all(numbers: &mut [f32]) -> (Lender, Loan) {
        let elements = 0..numbers.len();
        // SAFETY: as the caller promises.
        unsafe { lend(Lists::new(&mut [numbers]).pieces(&elements)) }
    }

    #[test]
    fn numbers_are_back_once_they_were_read_or_the_loan_is_gone() {
        let mut numbers = [1.0, 2.0];
        // SAFETY: `numbers` outlives both lenders, and nobody writes to them.
        let (lender, loan) = unsafe { lend_all(&mut numbers) };
        assert!(!lender.is_back());
        let sum = std::thread::spawn(move || {
            let mut sum = 0.0;
            assert!(loan.read(|numbers| sum += numbers.iter().sum::<f32>()));
            sum
        });
        assert_eq!(sum.join().expect("the reader does not panic"), 3.0);
        assert!(lender.is_back());
        let (lender, loan) = unsafe { lend_all(&mut numbers) };
        drop(loan);
        assert!(lender.is_back());
    }

    #[test]
    fn what_was_withdrawn_is_not_read() {
        let mut numbers = [1.0];
        // SAFETY: as above.
        let (lender, loan) = unsafe { lend_all(&mut numbers) };
        drop(lender);
        assert!(!loan.read(|_| panic!("withdrawn numbers were read")));
    }

    #[test]
    fn the_lender_waits_for_a_read_that_has_begun() {
        let mut numbers = vec![1.0_f32; 1000];
        let (begun, has_begun) = std::sync::mpsc::channel();
        // SAFETY: the lender is dropped before `numbers` is written to.
        let (lender, loan) = unsafe { lend_all(&mut numbers) };
        let reader = std::thread::spawn(move || {
            let mut same = false;
            loan.read(|numbers| {
                begun.send(()).expect("the test waits for it");
                std::thread::sleep(std::time::Duration::from_millis(20));
                same = numbers.iter().all(|number| *number == 1.0);
            });
            same
        });
        has_begun.recv().expect("the reader says when it begins");
        drop(lender);
        numbers.fill(2.0);
        assert!(reader.join().expect("the reader does not panic"), "numbers changed while they were read");
    }
}
