//! The library's own threads for what waits for a network: one runtime for all calls from cells.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};
use crate::interrupt::{LOOK, check_interrupt};

/// Waits for `work` on the calling thread.
///
/// # Errors
/// What the work returns; [`Error::Interrupted`] when the cell is stopped first, which drops the work.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    runtime()?.block_on(async {
        tokio::select! {
            result = work => result,
            stopped = interrupted() => Err(stopped),
        }
    })
}

/// The runtime, started by the first call.
pub(crate) fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Result<Runtime, std::io::Error>> = OnceLock::new();
    let started = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(1).thread_name("onramp-network").enable_all().build()
    });
    started.as_ref().map_err(|cause| Error::io("starting a thread for the network", std::io::Error::from(cause.kind())))
}

async fn interrupted() -> Error {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = check_interrupt() {
            return error;
        }
    }
}
