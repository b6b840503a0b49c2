//! Small services that tests load, each on its own threads of the test's process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::sync::oneshot;

/// A router behind a port of its own until it is dropped.
pub struct Service {
    pub address: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
                tokio::select! {
                    result = async { axum::serve(listener, router).await } => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What a [`Raw`] service says to a request, and whether it then closes the connection.
pub type Reply = (Vec<u8>, bool);

/// A service that answers with any bytes, by the number of the request.
pub struct Raw {
    pub address: String,
    stop: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
}

impl Raw {
    pub fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (stop, count, reply) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(reply));
        let stopped = stop.clone();
        let accepts = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (count, reply) = (count.clone(), reply.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &count, &*reply));
            }
        });
        Self { address: address.to_string(), stop, accepts: Some(accepts) }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
        let _ = self.accepts.take().map(JoinHandle::join);
    }
}

/// Answers requests without bodies until the other side closes.
fn answer(mut stream: TcpStream, count: &AtomicUsize, reply: &dyn Fn(usize) -> Reply) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        head.extend_from_slice(&buffer[..read]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        head.clear();
        let (bytes, closes) = reply(count.fetch_add(1, Ordering::SeqCst));
        if stream.write_all(&bytes).is_err() || closes {
            return;
        }
    }
}

/// A proper answer with this status.
pub fn proper(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: 2\r\n\r\nok").into_bytes()
}
