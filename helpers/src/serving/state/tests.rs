//! Every place for sessions does the same, and the loss of a store is told in time and is not the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should say so and stop")]

use std::collections::BTreeSet;
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::file_store::FileStore;
use super::session_store::Expected;
use super::*;
use crate::error::{Error, Result};
use crate::serving::http;
use crate::serving::stop::Stop;

fn run<T>(work: impl Future<Output = T>) -> T {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// A state server on threads of its own; its end breaks all connections, as a crash would.
struct Running {
    address: String,
    runtime: Option<Runtime>,
    _stopper: crate::serving::stop::Stopper,
}

impl Running {
    fn start(server: StateServer) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stopper, stop) = Stop::pair();
        let listener = runtime.block_on(server.listener.bind()).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let token = server.listener.token.clone();
        let prepared = runtime.block_on(server.prepare(stop.clone())).unwrap();
        runtime.spawn(http::serve(listener, prepared, token, stop));
        Self { address, runtime: Some(runtime), _stopper: stopper }
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One of each place that sessions can be kept at, with what must live for it.
struct Places {
    states: Vec<State>,
    folder: TempDir,
    _server: Running,
    _redis: Option<LocalRedis>,
}

/// None, with a word, where Redis is not installed.
fn redis() -> Option<LocalRedis> {
    if LocalRedis::installed().is_none() {
        eprintln!("redis-server is not installed: what needs it was not tested");
        return None;
    }
    Some(LocalRedis::start().unwrap())
}

fn places() -> Places {
    let (folder, server, redis) = (TempDir::new().unwrap(), Running::start(StateServer::new()), redis());
    let mut states =
        vec![State::memory(), State::file(folder.path().join("sessions.redb")), State::server(&server.address)];
    states.extend(redis.as_ref().map(|redis| State::redis(redis.url())));
    Places { states, folder, _server: server, _redis: redis }
}

async fn set(store: &SessionStore, key: &str, value: &[u8]) -> Result<()> {
    store.put(key, Expected::Anything, value).await.map(drop)
}

fn text<T>(result: Result<T>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "no error".to_string())
}

#[test]
fn what_is_set_is_got_at_every_place() {
    let places = places();
    run(async {
        for state in &places.states {
            let store = state.open().await.unwrap();
            store.ping().await.unwrap();
            let odd = "a/b?c=%2f&d #ü\u{1f512}..";
            for key in ["session-1", odd, ".", "..", &"x".repeat(128)] {
                assert_eq!(store.get(key).await.unwrap(), None, "{state}");
                for value in [&b"first"[..], b"", b"\0\xff\r\n", &[7; 64 << 10]] {
                    set(&store, key, value).await.unwrap();
                    assert_eq!(store.get(key).await.unwrap().as_deref(), Some(value), "{state}");
                }
            }
            assert_eq!(store.get("session-2").await.unwrap(), None, "{state}");
        }
    });
}

#[test]
fn no_count_is_lost_when_many_add_at_once() {
    let places = places();
    run(async {
        for state in &places.states {
            let first = Arc::new(state.open().await.unwrap());
            // A place that replicas share is asked by two.
            let shared = state.to_string().contains(" at ");
            let second = if shared { Arc::new(state.open().await.unwrap()) } else { first.clone() };
            let adds: Vec<_> = (0..40)
                .map(|number| if number % 2 == 0 { first.clone() } else { second.clone() })
                .map(|store| tokio::spawn(async move { store.add("counter", 1).await.unwrap() }))
                .collect();
            let mut sums = BTreeSet::new();
            for add in adds {
                sums.insert(add.await.unwrap());
            }
            assert_eq!(sums, (1..=40).collect(), "{state}");
            assert_eq!(second.add("counter", 2).await.unwrap(), 42, "{state}");
            assert_eq!(second.get("counter").await.unwrap().as_deref(), Some(&b"42"[..]), "{state}");
        }
    });
}

#[test]
fn what_can_not_be_kept_is_refused_everywhere() {
    let places = places();
    run(async {
        for state in &places.states {
            let store = state.open().await.unwrap();
            for key in ["", "a\nb", "\u{7f}", &"x".repeat(129)] {
                for result in
                    [store.get(key).await.map(drop), set(&store, key, b"1").await, store.add(key, 1).await.map(drop)]
                {
                    assert!(matches!(result, Err(Error::InvalidInput(_))), "{state} with {key:?}");
                }
            }
            assert!(text(set(&store, "long", &[0; (64 << 10) + 1]).await).contains("65537 bytes"), "{state}");
            set(&store, "text", b"many").await.unwrap();
            assert!(text(store.add("text", 1).await).contains("\"many\""), "{state}");
            set(&store, "full", u64::MAX.to_string().as_bytes()).await.unwrap();
            assert!(matches!(store.add("full", 1).await, Err(Error::InvalidInput(_))), "{state}");
        }
    });
}

#[test]
fn replicas_share_a_store_and_nothing_else() {
    let places = places();
    run(async {
        for state in &places.states {
            let one = state.open().await.unwrap();
            set(&one, "shared", b"1").await.unwrap();
            match state.open().await {
                Ok(other) => {
                    let shared = other.get("shared").await.unwrap().is_some();
                    assert_eq!(shared, state.to_string().contains(" at "), "{state}");
                }
                Err(refused) => assert!(refused.to_string().contains("another process"), "{refused}"),
            }
        }
    });
}

/// What a client sees of a store that dies and comes back.
fn dies_and_comes_back(state: &State, kill: impl FnOnce(), restart: impl FnOnce()) {
    let state = state.clone().timeout(2.0);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = runtime.block_on(state.open()).unwrap();
    runtime.block_on(set(&store, "kept", b"before")).unwrap();
    kill();
    for _ in 0..3 {
        let start = Instant::now();
        let (got, set) = runtime.block_on(async { (store.get("kept").await, set(&store, "kept", b"late").await) });
        // Nobody listens, so nobody has to be waited for.
        assert!(start.elapsed() < Duration::from_secs(2), "{state}: {:?}", start.elapsed());
        for result in [got.map(drop), set, runtime.block_on(store.ping())] {
            assert!(matches!(&result, Err(Error::Service(text)) if text.contains("127.0.0.1:")), "{result:?}");
        }
    }
    restart();
    runtime.block_on(store.ping()).unwrap();
    assert_eq!(runtime.block_on(store.get("kept")).unwrap(), None);
    assert_eq!(runtime.block_on(store.add("count", 1)).unwrap(), 1);
}

#[test]
fn a_store_of_ours_may_die_and_come_back() {
    let server = std::cell::RefCell::new(Running::start(StateServer::new()));
    let address = server.borrow().address.clone();
    let restart = || *server.borrow_mut() = Running::start(StateServer::new().listen(&*address));
    dies_and_comes_back(&State::server(&*address), || server.borrow_mut().kill(), restart);
}

#[test]
fn a_redis_may_die_and_come_back() {
    let Some(redis) = redis() else { return };
    let redis = std::cell::RefCell::new(redis);
    let state = State::redis(redis.borrow().url());
    dies_and_comes_back(&state, || redis.borrow_mut().kill().unwrap(), || redis.borrow_mut().restart().unwrap());
}

#[test]
fn a_store_need_not_be_there_at_the_start() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(State::server(&*free).open()).unwrap();
    assert!(matches!(runtime.block_on(store.ping()), Err(Error::Service(_))));
    let _server = Running::start(StateServer::new().listen(free));
    runtime.block_on(store.ping()).unwrap();
}

/// The system takes connections for it, and nobody answers.
#[test]
fn a_store_that_never_answers_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    run(async {
        for state in [State::server(&*address), State::redis(format!("redis://{address}"))] {
            let store = state.timeout(0.2).open().await.unwrap();
            for _ in 0..2 {
                let start = Instant::now();
                let result = store.get("session").await;
                assert!(matches!(&result, Err(Error::Service(text)) if text.contains(&address)), "{result:?}");
                assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
            }
        }
    });
}

#[test]
fn a_token_is_shown_and_asked_for() {
    let server = Running::start(StateServer::new().token("secret"));
    run(async {
        let with = State::server(&server.address).token("secret").open().await.unwrap();
        set(&with, "session", b"1").await.unwrap();
        let without = State::server(&server.address).open().await.unwrap();
        assert!(text(without.get("session").await).contains("401"), "{}", text(without.get("session").await));
    });
}

/// A copy of the file at any moment is what a crash would leave.
#[test]
fn what_was_answered_is_in_the_file_already() {
    let places = places();
    let path = places.folder.path().join("sessions.redb");
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(State::file(&path).open()).unwrap();
    for number in 1..=5 {
        runtime.block_on(store.add("counter", 1)).unwrap();
        let left = places.folder.path().join(format!("left-{number}.redb"));
        std::fs::copy(&path, &left).unwrap();
        let found = runtime.block_on(async { State::file(&left).open().await.unwrap().get("counter").await.unwrap() });
        assert_eq!(found.unwrap(), number.to_string().as_bytes());
    }
    drop(store);
    let again = runtime.block_on(State::file(&path).open()).unwrap();
    assert_eq!(runtime.block_on(again.add("counter", 1)).unwrap(), 6);
}

#[test]
fn a_file_that_can_not_be_used_is_named() {
    let folder = TempDir::new().unwrap();
    let text_file = folder.path().join("notes.txt");
    std::fs::write(&text_file, "no database, but a longer text\n".repeat(300)).unwrap();
    run(async {
        let open = async |path| State::file(path).open().await.map(drop);
        let wrong = open(text_file.clone()).await;
        assert!(matches!(&wrong, Err(Error::Data { path, .. }) if *path == text_file), "{wrong:?}");
        assert_eq!(std::fs::read_to_string(&text_file).unwrap().lines().count(), 300, "it was changed");
        let nowhere = open(folder.path().join("none").join("sessions.redb")).await;
        assert!(matches!(&nowhere, Err(Error::Io { action, .. }) if action.contains("sessions.redb")), "{nowhere:?}");
        let cut = folder.path().join("cut.redb");
        open(cut.clone()).await.unwrap();
        std::fs::OpenOptions::new().write(true).open(&cut).unwrap().set_len(5_000).unwrap();
        let cut_off = open(cut).await;
        assert!(matches!(cut_off, Err(Error::Data { .. })), "{cut_off:?}");
    });
}

/// Writes that wait together are committed together: none sees a value that another one in the same commit replaced.
#[test]
fn conditions_hold_inside_a_commit() {
    run(async {
        let store = Arc::new(FileStore::in_memory().unwrap());
        let puts: Vec<_> = (0..100)
            .map(|number: u32| {
                let store = store.clone();
                tokio::spawn(async move { store.put("one", Expected::Nothing, &number.to_le_bytes()).await.unwrap() })
            })
            .collect();
        let mut done = Vec::new();
        for (number, put) in puts.into_iter().enumerate() {
            if put.await.unwrap() {
                done.push(number as u32);
            }
        }
        let [only] = done[..] else { panic!("{done:?} were all put where there was nothing") };
        assert_eq!(store.get("one").await.unwrap().unwrap(), only.to_le_bytes());
    });
}

#[test]
fn a_round_trip_is_waited_for_by_each_get_and_each_set() {
    run(async {
        let store = State::memory().round_trip(0.02).open().await.unwrap();
        let start = Instant::now();
        store.add("counter", 1).await.unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(40) && took < Duration::from_secs(5), "{took:?}");
    });
}

#[test]
fn descriptions_that_make_no_sense_are_refused_with_the_value() {
    for (state, part) in [
        (State::memory().round_trip(-1.0), "-1 s"),
        (State::memory().round_trip(f64::NAN), "NaN s"),
        (State::memory().timeout(0.0), "0 s"),
        (State::server("somewhere"), "'somewhere'"),
        (State::server("127.0.0.1:0"), "'127.0.0.1:0'"),
        (State::redis("http://127.0.0.1:6379"), "redis://"),
        (State::redis("redis://me:secret@"), "redis://"),
    ] {
        let complaint = text(state.validate());
        assert!(complaint.contains(part) && !complaint.contains("secret"), "{complaint}");
    }
    let shown = format!("{0} {0:?}", State::redis("redis://me:secret@10.0.0.1:6379/2"));
    assert!(shown.contains("10.0.0.1:6379/2") && !shown.contains("secret"), "{shown}");
    State::server("http://127.0.0.1:4000/").validate().unwrap();
}
