//! Sends requests at their moments and receives the answers, all on one thread.
//!
//! A request is due at its moment, whatever became of those before it. One task watches the moments. It hands a request
//! that is due to a connection that is free, the one that was used last, so that no more are open than are needed; when all
//! are busy, the request waits. Latency counts from its moment in either case.
//!
//! Which part of a delay is the generator's own? The task may wake late: its own. Then the request may wait for a
//! connection. When the thread last had nothing to do, all answers that had arrived were read and all requests that could be
//! sent were, so whoever still waited then, waited for the service. Since then the thread has been awake, and answers may
//! lie there unread: its own. So a generator that is overloaded, and never idle, takes the blame for all of a wait, and one
//! before a service that does not answer for next to nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::{Builder, LocalOptions};

use super::alarm::Alarm;
use super::connection::{Answer, Connection};
use super::idle_clock::IdleClock;
use super::load_run::{Failure, late_beyond};
use super::message::Messages;
use super::recorder::Recorder;
use super::schedule::{Due, Moments};
use super::target::Target;
use crate::error::{Error, Result};

/// Between two looks at how many requests are in flight, on average.
const LOOK_EVERY_NANOSECONDS: u64 = 5_000_000;
/// A thread with a core of its own stays awake for so long before a request is due.
const AWAKE_BEFORE_NANOSECONDS: u64 = 200_000;
/// Requests that are handed over before the connections get their turn.
const MOST_AT_ONCE: usize = 1_024;
/// Requests that may wait for a connection. Those beyond are given up.
const MOST_WAITING: usize = 1_000_000;
/// Before a request is tried again; twice as long before each further time.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Everything that is needed, made before the start.
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) messages: Messages,
    pub(super) moments: Moments,
    /// The counted time, in nanoseconds from the start.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) connections: usize,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    /// The thread has a core of its own, on which it may wait without sleeping.
    pub(super) own_core: bool,
}

/// What was counted.
pub(super) struct Counted {
    pub(super) recorder: Recorder,
    /// Requests that count and were given up by the generator.
    pub(super) given_up: u64,
    pub(super) most_connections: usize,
    /// The share of the counted time in which the thread was not idle.
    pub(super) busy: f64,
}

/// A request on its way to a connection.
#[derive(Clone, Copy)]
struct Job {
    due: Due,
    index: u64,
    noticed: u64,
}

/// Where a connection's task takes its next request from.
#[derive(Default)]
struct Seat {
    job: Option<Job>,
    waker: Option<Waker>,
}

/// What the tasks share. They run on one thread, and none keeps it borrowed while it waits.
struct Shared {
    clock: IdleClock,
    waiting: VecDeque<Job>,
    /// Seats without a request, the last used on top.
    free: Vec<usize>,
    seats: Vec<Seat>,
    recorder: Recorder,
    in_flight: u64,
    ended: u64,
    most_connections: usize,
    given_up: u64,
    /// Grows whenever a connection's task does something.
    turns: u64,
}

/// Runs the load on this thread. `ended` tells others how many requests are over.
pub(super) fn run(plan: Plan, stop: &AtomicBool, ended: &AtomicU64) -> Result<Counted> {
    let clock = IdleClock::new();
    let (falls_asleep, wakes) = (clock.clone(), clock.clone());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || falls_asleep.falls_asleep())
        .on_thread_unpark(move || wakes.wakes())
        .build_local(LocalOptions::default())
        .map_err(|cause| Error::io("starting the generator", cause))?;
    runtime.block_on(drive(plan, clock, stop, ended))
}

async fn drive(plan: Plan, clock: IdleClock, stop: &AtomicBool, ended: &AtomicU64) -> Result<Counted> {
    let Plan { target, messages, mut moments, from, to, connections, timeout, retries, own_core } = plan;
    let alarm = Alarm::new()?;
    let shared = Rc::new(RefCell::new(Shared {
        clock: clock.clone(),
        waiting: VecDeque::new(),
        free: (0..connections).rev().collect(),
        seats: (0..connections).map(|_| Seat::default()).collect(),
        recorder: Recorder::new(from, to)?,
        in_flight: 0,
        ended: 0,
        most_connections: 0,
        given_up: 0,
        turns: 0,
    }));
    let client = Rc::new(Client { target, messages, timeout, retries });
    for seat in 0..connections {
        tokio::task::spawn_local(serve(seat, shared.clone(), client.clone()));
    }
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let (mut due, mut index, mut look) = (moments.next(), 0, 0);
    let mut judged = false;
    let mut idle_in_time = IdleInTime { from, to, begun: None, over: None };
    loop {
        let now = clock.now();
        idle_in_time.look(now, &clock);
        for _ in 0..MOST_AT_ONCE {
            let Some(next) = due.filter(|due| due.nanoseconds <= now) else { break };
            shared.borrow_mut().hand_over(next, index);
            (due, index) = (moments.next(), index + 1);
        }
        if now >= look {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let mut shared = shared.borrow_mut();
            let in_flight = shared.in_flight;
            shared.recorder.looks(now, in_flight);
            ended.store(shared.ended, Ordering::Relaxed);
            // One look in each stretch of time, at any place of it: requests may come at regular times, too.
            look = (now / LOOK_EVERY_NANOSECONDS + 1) * LOOK_EVERY_NANOSECONDS
                + random.random_range(0..LOOK_EVERY_NANOSECONDS);
        }
        if now >= to {
            let mut shared = shared.borrow_mut();
            if !std::mem::replace(&mut judged, true) && shared.is_behind() {
                due = None;
                shared.give_up_waiting();
            }
            if due.is_none() && shared.in_flight == 0 {
                break;
            }
        }
        let next = due.map_or(look, |due| due.nanoseconds.min(look));
        wait_until(next, &clock, &shared, &alarm, own_core).await?;
    }
    let busy = idle_in_time.busy();
    let mut shared = shared.borrow_mut();
    let recorder = std::mem::replace(&mut shared.recorder, Recorder::new(from, to)?);
    Ok(Counted { recorder, given_up: shared.given_up, most_connections: shared.most_connections, busy })
}

/// Gives the connections their turn, and returns at this moment, or as soon after it as they let go of the thread.
async fn wait_until(
    moment: u64,
    clock: &IdleClock,
    shared: &RefCell<Shared>,
    alarm: &Alarm,
    own_core: bool,
) -> Result<()> {
    let awake = if own_core { AWAKE_BEFORE_NANOSECONDS } else { 0 };
    loop {
        let (now, turns) = (clock.now(), shared.borrow().turns);
        if moment > now + awake {
            alarm.wait_until(clock.moment(moment - awake)).await?;
            continue;
        }
        tokio::task::yield_now().await;
        let later = clock.now();
        // Before its moment there was nothing to do, unless a connection had something.
        if now < moment && shared.borrow().turns == turns {
            clock.was_idle(now, later);
        }
        if later >= moment {
            return Ok(());
        }
    }
}

impl Shared {
    /// A request is due: to the connection that was used last, or into the line.
    fn hand_over(&mut self, due: Due, index: u64) {
        let counts = self.recorder.counts(due.nanoseconds);
        self.recorder.due += u64::from(counts);
        let job = Job { due, index, noticed: self.clock.now() };
        if let Some(seat) = self.free.pop() {
            self.most_connections = self.most_connections.max(self.seats.len() - self.free.len());
            let seat = &mut self.seats[seat];
            seat.job = Some(job);
            if let Some(waker) = &seat.waker {
                waker.wake_by_ref();
            }
        } else if self.waiting.len() < MOST_WAITING {
            self.recorder.waited_for_connection += u64::from(counts);
            self.waiting.push_back(job);
        } else {
            self.given_up += u64::from(counts);
            return;
        }
        self.in_flight += 1;
    }

    /// A connection has a request in hand, and sends it.
    fn begins(&mut self, job: Job) {
        self.turns += 1;
        let now = self.clock.now();
        let woke_late = job.noticed - job.due.nanoseconds;
        let awake = now - job.noticed.max(self.clock.last_idle());
        self.recorder.sends(job.due.nanoseconds, now, woke_late + awake);
    }

    /// A request is over; its connection takes the first in line, if there is one.
    fn ends(&mut self, seat: usize, job: Job, end: Result<Answer, Failure>) {
        self.turns += 1;
        let now = self.clock.now();
        self.recorder.ends(job.due.nanoseconds, now, end);
        self.in_flight -= 1;
        self.ended += 1;
        match self.waiting.pop_front() {
            Some(job) => self.seats[seat].job = Some(job),
            None => self.free.push(seat),
        }
    }

    /// The generator could not send what was due, for reasons of its own.
    fn is_behind(&self) -> bool {
        self.given_up > 0 || late_beyond(&self.recorder.lateness(), &self.recorder.latencies()).is_some()
    }

    fn give_up_waiting(&mut self) {
        let Self { waiting, recorder, .. } = self;
        self.in_flight -= waiting.len() as u64;
        self.given_up += waiting.drain(..).filter(|job| recorder.counts(job.due.nanoseconds)).count() as u64;
    }
}

/// How the thread's idle time is taken at both ends of the counted time.
struct IdleInTime {
    from: u64,
    to: u64,
    begun: Option<(u64, u64)>,
    over: Option<(u64, u64)>,
}

impl IdleInTime {
    fn look(&mut self, now: u64, clock: &IdleClock) {
        if now >= self.from && self.begun.is_none() {
            self.begun = Some((now, clock.idle_nanoseconds()));
        }
        if now >= self.to && self.over.is_none() {
            self.over = Some((now, clock.idle_nanoseconds()));
        }
    }

    fn busy(&self) -> f64 {
        match (self.begun, self.over) {
            (Some((from, idle_before)), Some((to, idle))) if to > from => {
                1.0 - (idle - idle_before) as f64 / (to - from) as f64
            }
            _ => 1.0,
        }
    }
}

/// What all connections need to know.
struct Client {
    target: Target,
    messages: Messages,
    timeout: Duration,
    retries: u32,
}

/// The life of a connection: one request after the other. It is opened when the first one comes.
async fn serve(seat: usize, shared: Rc<RefCell<Shared>>, client: Rc<Client>) {
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
