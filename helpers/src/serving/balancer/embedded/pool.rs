//! All backends of a balancer, and which of them a request goes to.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use moka::future::Cache;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use tokio::sync::{Mutex, Semaphore, watch};
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt};

use super::backend::{Backend, Counts, Gauge, Standing};
use super::endpoint::{Endpoint, Exchange};
use super::ring::Ring;
use crate::error::{Error, Result};
use crate::serving::balancer::{Balancer, BalancerLoad, Policy, Program, SessionId};
use crate::serving::client::{Connections, connections};
use crate::serving::http::Problem;

/// A session that was not seen for so long is forgotten, as by HAProxy.
const FORGOTTEN: Duration = Duration::from_secs(30 * 60);
/// The sessions that were not seen for longest are forgotten beyond this many.
const MOST_SESSIONS: u64 = 100_000;
/// When to come again after no backend was free.
const LATER: Duration = Duration::from_secs(1);

/// Tower's balancer over the backends that were open when it was made.
type TwoChoices = Balance<ServiceList<Vec<ConcurrencyLimit<Endpoint>>>, Request<Full<Bytes>>>;

/// The backends, and what the policy remembers.
pub(super) struct Pool {
    pub(super) balancer: Balancer,
    pub(super) connections: Connections,
    members: RwLock<Members>,
    /// How often a backend came, went or changed its standing.
    changes: watch::Sender<u64>,
    turn: AtomicUsize,
    /// Backends' numbers by session.
    sessions: Cache<String, usize>,
    two_choices: Mutex<Option<(u64, TwoChoices)>>,
    waiting: Arc<Gauge>,
}

#[derive(Default)]
struct Members {
    backends: BTreeMap<usize, Arc<Backend>>,
    ring: Ring,
}

impl Pool {
    pub(super) fn new(balancer: Balancer) -> Arc<Self> {
        let sessions = Cache::builder().max_capacity(MOST_SESSIONS).time_to_idle(FORGOTTEN);
        let pool = Arc::new(Self {
            connections: connections(Some(Duration::from_secs_f64(balancer.connect_seconds))),
            members: RwLock::default(),
            changes: watch::Sender::new(0),
            turn: AtomicUsize::new(0),
            sessions: sessions.eviction_policy(EvictionPolicy::lru()).build(),
            two_choices: Mutex::new(None),
            waiting: Arc::default(),
            balancer,
        });
        for (number, address) in pool.balancer.backends.clone().iter().enumerate() {
            pool.put(number, address);
        }
        pool
    }

    /// A new backend, or one that comes back, at this address. It is checked at once, and then again and again.
    pub(super) fn put(self: &Arc<Self>, number: usize, address: &str) {
        let slots = self.balancer.connections_per_backend.unwrap_or(Semaphore::MAX_PERMITS);
        self.change(|members| {
            let counts = members.backends.get(&number).map_or_else(Arc::<Counts>::default, |old| old.counts.clone());
            let backend = Arc::new(Backend::new(number, address, slots, counts));
            tokio::spawn(super::health::watch(Arc::downgrade(&backend), self.clone()));
            members.backends.insert(number, backend);
        });
    }

    pub(super) fn remove(&self, number: usize) -> Result<()> {
        self.known(number)?;
        self.change(|members| {
            members.backends.remove(&number);
        });
        Ok(())
    }

    pub(super) fn pause(&self, number: usize) -> Result<()> {
        let backend = self.known(number)?;
        self.set(&backend, Standing::Paused);
        Ok(())
    }

    pub(super) fn set(&self, backend: &Backend, standing: Standing) {
        if backend.set(standing) {
            self.changed();
        }
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(super) fn load(&self) -> BalancerLoad {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        BalancerLoad {
            program: Program::Embedded,
            policy: self.balancer.policy.clone(),
            backends: members.backends.values().map(|backend| backend.load()).collect(),
            waiting: self.waiting.now(),
            most_waiting: self.waiting.most(),
        }
    }

    fn known(&self, number: usize) -> Result<Arc<Backend>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.backends.get(&number).cloned().ok_or_else(|| Error::invalid(format!("there is no backend {number}")))
    }

    fn change(&self, change: impl FnOnce(&mut Members)) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut members);
        members.ring = Ring::new(members.backends.keys().copied());
        drop(members);
        self.changed();
    }

    /// The backends that a request can go to: those that are up, or else those of which it is not known; not those that it was
    /// sent to before, unless there are no others.
    fn open(&self, tried: &[usize]) -> Vec<Arc<Backend>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        let with = |standing: Standing, again: bool| -> Vec<Arc<Backend>> {
            let fits =
                |backend: &&Arc<Backend>| backend.standing() == standing && (again || !tried.contains(&backend.number));
            members.backends.values().filter(fits).cloned().collect()
        };
        let choices =
            [(Standing::Up, false), (Standing::Doubtful, false), (Standing::Up, true), (Standing::Doubtful, true)];
        choices
            .into_iter()
            .map(|(standing, again)| with(standing, again))
            .find(|open| !open.is_empty())
            .unwrap_or_default()
    }

    /// Sends a request to the backend that the policy chooses, when that is free.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>, tried: &[usize]) -> Result<Exchange, Problem> {
        if self.balancer.policy == Policy::LeastConnections {
            let call = self.when_free(&self.waiting, self.least_loaded(request)).await??;
            return call.await.map_err(|cause| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, cause.to_string()));
        }
        let backend = self.choose(request.headers(), tried).await.ok_or_else(none_is_up)?;
        let free = self.when_free(&backend.counts.waiting, backend.slots.clone().acquire_owned()).await?;
        let Ok(exchange) = self.endpoint(backend).oneshot(request).await;
        drop(free);
        Ok(exchange)
    }

    fn endpoint(&self, backend: Arc<Backend>) -> Endpoint {
        let patience = Duration::from_secs_f64(self.balancer.answer_seconds);
        Endpoint { backend, connections: self.connections.clone(), patience }
    }

    /// Waits for something, within the bounds for what waits.
    async fn when_free<T>(&self, gauge: &Arc<Gauge>, free: impl Future<Output = T>) -> Result<T, Problem> {
        let mut free = pin!(free);
        // Most do not have to wait.
        if let Poll::Ready(ready) = poll_fn(|context| Poll::Ready(free.as_mut().poll(context))).await {
            return Ok(ready);
        }
        let bound = self.balancer.queue_bound as u64;
        if self.waiting_in_all() >= bound {
            return Err(later(format!("{bound} requests wait already; try again later")));
        }
        let _waiting = gauge.enter();
        let seconds = self.balancer.queue_seconds;
        let late = |_| later(format!("no backend became free within {seconds} s; try again later"));
        tokio::time::timeout(Duration::from_secs_f64(seconds), free).await.map_err(late)
    }

    fn waiting_in_all(&self) -> u64 {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        self.waiting.now() + members.backends.values().map(|backend| backend.counts.waiting.now()).sum::<u64>()
    }

    /// Gives a request to the less loaded of two backends, when at least one has a slot.
    async fn least_loaded(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<<TwoChoices as Service<Request<Full<Bytes>>>>::Future, Problem> {
        let mut changes = self.changes.subscribe();
        loop {
            let mut two_choices = self.two_choices.lock().await;
            let now = *changes.borrow_and_update();
            let open = self.open(&[]);
            if open.is_empty() {
                return Err(none_is_up());
            }
            // Backends that came, went, or changed their standing since.
            let (_, balance) = match two_choices.take() {
                Some((made, balance)) if made == now => two_choices.insert((made, balance)),
                _ => {
                    let limited = |backend: Arc<Backend>| {
                        let slots = backend.slots.clone();
                        ConcurrencyLimit::with_semaphore(self.endpoint(backend), slots)
                    };
                    let endpoints: Vec<_> = open.into_iter().map(limited).collect();
                    two_choices.insert((now, Balance::new(ServiceList::new(endpoints))))
                }
            };
            tokio::select! {
                ready = balance.ready() => {
                    let ready = ready.map_err(|cause| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, cause.to_string()));
                    return Ok(ready?.call(request));
                }
                _ = changes.changed() => {}
            }
        }
    }

    /// The backend that a request goes to by the other policies.
    async fn choose(&self, headers: &HeaderMap, tried: &[usize]) -> Option<Arc<Backend>> {
        let open = self.open(tried);
        let numbered = |number: usize| open.iter().find(|backend| backend.number == number).cloned();
        let next = || {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            open.get(turn.checked_rem(open.len())?).cloned()
        };
        match &self.balancer.policy {
            Policy::RoundRobin | Policy::LeastConnections => next(),
            Policy::ConsistentHash { header } => {
                let Some(key) = headers.get(header).and_then(|key| key.to_str().ok()) else { return next() };
                let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
                members.ring.owner(key, |number| numbered(number).is_some()).and_then(numbered)
            }
            Policy::Sticky { session } => {
                let Some(session) = session_name(session, headers) else { return next() };
                if let Some(backend) = self.sessions.get(session).await.and_then(numbered) {
                    return Some(backend);
                }
                // Of two requests that come at once, the second finds what the first has put.
                let entry = self.sessions.entry_by_ref(session).and_compute_with(async |entry| match (entry, next()) {
                    (Some(entry), _) if numbered(*entry.value()).is_some() => Op::Nop,
                    (_, Some(backend)) => Op::Put(backend.number),
                    (_, None) => Op::Nop,
                });
                entry.await.into_entry().and_then(|entry| numbered(entry.into_value()))
            }
        }
    }
}

/// The value of the header or cookie that names a request's session.
fn session_name<'a>(session: &SessionId, headers: &'a HeaderMap) -> Option<&'a str> {
    match session {
        SessionId::Header(name) => headers.get(name)?.to_str().ok(),
        SessionId::Cookie(name) => {
            let cookies = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
            let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(key, _)| key == name).map(|(_, value)| value)
        }
    }
}

fn none_is_up() -> Problem {
    later("no backend is up; try again later")
}

pub(super) fn later(text: impl Into<String>) -> Problem {
    Problem { retry_after: Some(LATER), ..Problem::unavailable(text) }
}
