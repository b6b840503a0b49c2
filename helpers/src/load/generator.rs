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
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::{Builder, LocalOptions};

use super::alarm::Alarm;
use super::client::{Client, serve};
use super::dispatcher::Dispatcher;
use super::idle_clock::{IdleClock, IdleInTime};
use super::message::Messages;
use super::recorder::Recorder;
use super::schedule::Moments;
use super::target::Target;
use crate::error::{Error, Result};

/// Between two looks at how many requests are in flight, on average.
const LOOK_EVERY_NANOSECONDS: u64 = 5_000_000;
/// A thread with a core of its own stays awake for so long before a request is due.
const AWAKE_BEFORE_NANOSECONDS: u64 = 200_000;
/// Requests that are handed over before the connections get their turn.
const MOST_AT_ONCE: usize = 1_024;

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
    let dispatcher = Dispatcher::new(clock.clone(), connections, Recorder::new(from, to)?);
    let shared = Rc::new(RefCell::new(dispatcher));
    let client = Rc::new(Client { target, messages, timeout, retries });
    for seat in 0..connections {
        tokio::task::spawn_local(serve(seat, shared.clone(), client.clone()));
    }
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let (mut due, mut index, mut look) = (moments.next(), 0, 0);
    let mut judged = false;
    let mut idle_in_time = IdleInTime::new(from, to);
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
    shared: &RefCell<Dispatcher>,
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
