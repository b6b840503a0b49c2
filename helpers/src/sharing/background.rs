//! All-reduces on a thread of their own, while the worker computes.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use crate::communication::Communicator;
use crate::error::{Error, Result};

/// A communicator on a thread of its own, which inherits the worker's core.
pub(super) struct Background<C> {
    to_sum: Sender<Vec<f32>>,
    summed: Receiver<Result<Vec<f32>>>,
    thread: JoinHandle<C>,
}

impl<C: Communicator + Send + 'static> Background<C> {
    /// The thread ends when this is dropped, after the call that it is in: when the worker fails, that call fails too.
    pub(super) fn new(mut communicator: C) -> Result<Self> {
        let (to_sum, received) = mpsc::channel::<Vec<f32>>();
        let (finished, summed) = mpsc::channel();
        let work = move || {
            for mut values in received {
                let done = communicator.all_reduce_sum(&mut values).map(|()| values);
                let failed = done.is_err();
                // Nobody listens any more once the worker has failed.
                if finished.send(done).is_err() || failed {
                    break;
                }
            }
            communicator
        };
        let thread = std::thread::Builder::new().name("all-reduce".to_string()).spawn(work);
        let thread = thread.map_err(|cause| Error::io("starting a thread for the all-reduce", cause))?;
        Ok(Self { to_sum, summed, thread })
    }

    /// Hands over numbers to be summed over all workers, and goes on at once.
    pub(super) fn begin(&self, values: Vec<f32>) -> Result<()> {
        // A thread that has ended has said why.
        self.to_sum.send(values).or_else(|_| self.next().map(drop))
    }

    /// Waits for the next sum, in the order in which they were begun.
    pub(super) fn next(&self) -> Result<Vec<f32>> {
        self.summed.recv().unwrap_or_else(|_| Err(Error::Worker("the all-reduce's own thread ended".to_string())))
    }

    /// Ends the thread and gives the communicator back.
    pub(super) fn finish(self) -> Result<C> {
        drop(self.to_sum);
        self.thread.join().map_err(|_| Error::Worker("the all-reduce's own thread panicked".to_string()))
    }
}
