//! The life of a connection: one request after the other, and tries again where that is allowed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::answers::Failure;
use super::connection::{Answer, Connection};
use super::dispatcher::{Dispatcher, Job};
use super::message::Messages;
use super::target::Target;

/// Before a request is tried again; twice as long before each further time.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// What all connections need to know.
pub(super) struct Client {
    pub(super) target: Target,
    pub(super) messages: Messages,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
}

/// The life of a connection: one request after the other. It is opened when the first one comes.
pub(super) async fn serve(seat: usize, shared: Rc<RefCell<Dispatcher>>, client: Rc<Client>) {
    let mut connection: Option<Connection> = None;
    loop {
        let job = poll_fn(|context| {
            if let Some(connection) = &mut connection {
                connection.poll_idle(context);
            }
            let seat = &mut shared.borrow_mut().seats[seat];
            if let Some(job) = seat.job.take() {
                return Poll::Ready(job);
            }
            if !seat.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                seat.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        let deadline = shared.borrow().clock.moment(job.due.nanoseconds) + client.timeout;
        if Instant::now() >= deadline {
            // Nobody waits for it any more.
            shared.borrow_mut().ends(seat, job, Err(Failure::Timeout));
            continue;
        }
        shared.borrow_mut().begins(job);
        let mut tries = 0;
        let end = loop {
            let end = client.once(&mut connection, job, deadline).await;
            let again = RETRY_AFTER * 2_u32.pow(tries.min(6));
            if tries == client.retries || !is_worth_retrying(&end) || Instant::now() + again >= deadline {
                break end;
            }
            tries += 1;
            shared.borrow_mut().recorder.retried += 1;
            tokio::time::sleep(again).await;
        };
        shared.borrow_mut().ends(seat, job, end);
    }
}

impl Client {
    /// Tries a request once, on the open connection or on a new one.
    async fn once(&self, connection: &mut Option<Connection>, job: Job, deadline: Instant) -> Result<Answer, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        let exchange = async {
            if let Some(open) = connection.as_mut()
                && (open.is_over() || !open.is_ready().await)
            {
                *connection = None;
            }
            let open = match connection {
                Some(open) => open,
                None => connection.insert(Connection::open(self.target.address).await?),
            };
            if !open.is_ready().await {
                return Err(Failure::Cut);
            }
            open.exchange(self.messages.request(job.due, job.index)).await
        };
        let end = tokio::time::timeout(left, exchange).await.unwrap_or(Err(Failure::Timeout));
        if end.is_err() {
            *connection = None;
        }
        end
    }
}

fn is_worth_retrying(end: &Result<Answer, Failure>) -> bool {
    match end {
        Ok(answer) => [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status),
        Err(failure) => *failure != Failure::Timeout,
    }
}
