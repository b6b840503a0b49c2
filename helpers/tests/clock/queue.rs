//! A service that takes one request at a time, as the law of queues wants it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::sync::oneshot;

use super::services::Service;

/// When a request came, in seconds, and how long it was served.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    pub came: f64,
    pub took: f64,
}

type Line = Arc<(Mutex<VecDeque<(f64, oneshot::Sender<()>)>>, Condvar)>;

/// One server that takes one request at a time, each for as long as `seconds` says, and writes it down.
pub fn queue(mut seconds: impl FnMut() -> f64 + Send + 'static) -> (Service, Arc<Mutex<Vec<Served>>>) {
    let line: Line = Arc::default();
    let served: Arc<Mutex<Vec<Served>>> = Arc::default();
    let begun = Instant::now();
    let (its, writes) = (line.clone(), served.clone());
    // Ends with the test's process: nothing is left to do for it then.
    std::thread::spawn(move || {
        // SAFETY: prctl changes a number that belongs to this thread: how late a sleep may end.
        #[cfg(target_os = "linux")]
        unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0_u64, 0_u64, 0_u64);
        }
        loop {
            let mut jobs = its.0.lock().unwrap();
            while jobs.is_empty() {
                jobs = its.1.wait(jobs).unwrap();
            }
            let (came, done) = jobs.pop_front().unwrap();
            drop(jobs);
            let start = Instant::now();
            std::thread::sleep(Duration::from_secs_f64(seconds()));
            writes.lock().unwrap().push(Served { came, took: start.elapsed().as_secs_f64() });
            let _ = done.send(());
        }
    });
    let router = Router::new().fallback(move || {
        let (done, over) = oneshot::channel();
        line.0.lock().unwrap().push_back((begun.elapsed().as_secs_f64(), done));
        line.1.notify_one();
        async move { over.await.map_err(|_| axum::http::StatusCode::INTERNAL_SERVER_ERROR) }
    });
    (Service::start(router), served)
}
