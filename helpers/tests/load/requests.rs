//! What a load sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use onramp::data::{Arrivals, RequestLog};
use onramp::experiment::{Experiment, Outcome, in_fresh_process};
use onramp::load::{Capacity, Load, LoadRun};
use safetensors::SafeTensors;

use super::services::{Raw, Service, proper};
use crate::again::{press_soon, with_stop_button};

/// A request as it came.
struct Seen {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// All requests of a load, and its result.
fn seen(load: impl Fn(Load) -> Load) -> (Vec<Seen>, LoadRun) {
    let all: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let its = all.clone();
    let service = Service::start(Router::new().fallback(
        async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            its.lock().unwrap().push(Seen { method, path: uri.to_string(), headers, body });
        },
    ));
    let load =
        load(Load::new(format!("http://{}/predict", service.address)).seconds(0.5).warm_up_seconds(0.0).rate(600.0));
    let run = load.run().unwrap();
    drop(service);
    let all = std::mem::take(&mut *all.lock().unwrap());
    assert_eq!(all.len() as u64, run.due);
    assert_eq!(run.with_status(200), run.due, "{}", run.table());
    (all, run)
}

#[test]
fn rows_are_sent_as_json_and_as_tensors_in_bodies_made_before() {
    let (json, _) = seen(|load| load.json_rows(2, 5).different_bodies(3));
    let read = |seen: &Seen| -> Vec<Vec<f32>> {
        let text: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        serde_json::from_value(text["rows"].clone()).unwrap()
    };
    let rows = read(&json[0]);
    assert_eq!((rows.len(), rows[0].len()), (2, 5));
    assert!(json.iter().all(|seen| seen.method == Method::POST && seen.path == "/predict"));
    assert!(json.iter().all(|seen| seen.header("content-type") == "application/json"));
    let different: std::collections::HashSet<&Bytes> = json.iter().map(|seen| &seen.body).collect();
    assert_eq!(different.len(), 3);

    // The same seed gives the same rows, whatever they are written as.
    let (tensors, _) = seen(|load| load.tensor_rows(2, 5).different_bodies(1));
    let file = SafeTensors::deserialize(&tensors[0].body).unwrap();
    let tensor = file.tensor("rows").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (safetensors::Dtype::F32, &[2, 5][..]));
    let values: Vec<f32> = tensor.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let all: Vec<Vec<f32>> = json.iter().map(|seen| read(seen).concat()).collect();
    assert!(all.contains(&values));
    assert_eq!(tensors[0].header("content-type"), "application/x-safetensors");
}

#[test]
fn headers_say_who_asks_and_until_when() {
    let (all, _) =
        seen(|load| load.token("secret").deadline(0.25).header("x-mine", "yes").method("put").body("x", "a/b"));
    let (short, _) = seen(|load| load.deadline(0.0004));
    assert_eq!(short[0].header("x-deadline-ms"), "1");
    for seen in all {
        assert_eq!(seen.method, Method::PUT);
        assert_eq!(seen.header("authorization"), "Bearer secret");
        assert_eq!(seen.header("x-deadline-ms"), "250");
        assert_eq!((seen.header("x-mine"), seen.header("content-type"), &seen.body[..]), ("yes", "a/b", &b"x"[..]));
        assert!(seen.header("host").starts_with("127.0.0.1:"));
    }
}

#[test]
fn keys_follow_zipf_in_path_header_and_body() {
    let load =
        |load: Load| load.keys(20, 1.0).path("/session/{key}").key_header("x-session").json_rows(1, 4).rate(4_000.0);
    let (all, run) = seen(load);
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut bodies: HashMap<u32, &Bytes> = HashMap::new();
    for seen in &all {
        let key: u32 = seen.path.strip_prefix("/session/").unwrap().parse().unwrap();
        assert_eq!(seen.header("x-session"), key.to_string());
        *counts.entry(key).or_default() += 1;
        assert_eq!(*bodies.entry(key).or_insert(&seen.body), &seen.body);
    }
    // The first of 20 keys has 1 / H(20) = 28 % of all; 2,000 requests leave 1 %.
    let first = counts[&0] as f64 / run.due as f64;
    assert!((first - 0.278).abs() < 0.05, "{first}");
    assert!(counts.keys().all(|key| *key < 20) && counts.len() >= 18);
    assert_ne!(bodies[&0], bodies[&1]);
}

#[test]
fn a_log_is_sent_request_by_request_until_it_ends() {
    let log = RequestLog::new(300, Arrivals::Poisson { per_second: 500.0 }).keys(10, 1.0);
    let requests = log.generate().unwrap();
    let (all, run) = seen(|load| load.log(log).path("/{key}").seconds(30.0));
    assert_eq!(run.due, 300);
    let last = requests.last().unwrap().seconds;
    assert!((run.seconds / last - 1.0).abs() < 1e-6, "{} s, the log has {last} s", run.seconds);
    let mut keys: Vec<String> = requests.iter().map(|request| format!("/{}", request.key)).collect();
    let mut paths: Vec<String> = all.into_iter().map(|seen| seen.path).collect();
    keys.sort();
    paths.sort();
    assert_eq!(paths, keys);
    // A longer log than the load.
    let (_, run) = seen(|load| load.log(log).seconds(0.25));
    let early = requests.iter().filter(|request| request.seconds < 0.25).count();
    assert_eq!(run.due, early as u64);
}

#[test]
fn the_same_load_is_due_at_the_same_moments() {
    let due = |seed| seen(|load| load.seed(seed)).1.due;
    assert_eq!(due(3), due(3));
    let constant = seen(|load| load.constant()).1;
    // At 600/s within half a second: from the first after 1/600 s on.
    assert!((299..=300).contains(&constant.due), "{}", constant.due);
}

#[test]
fn a_load_runs_in_a_fresh_process_and_comes_back_whole() {
    let service = Raw::start(|_| (proper("200 OK", ""), false));
    let load = Load::new(&service.address).rate(500.0).seconds(0.5).warm_up_seconds(0.1);
    let outcome = in_fresh_process(&Experiment::Load(load.clone())).unwrap();
    let Outcome::Load(run) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(run.load, load);
    assert_eq!(run.with_status(200), run.due);
    assert_eq!(Outcome::from_json(&outcome.to_json().unwrap()).unwrap(), outcome);
    let capacity = Experiment::Capacity(Capacity::new(load, 0.001));
    assert_eq!(Experiment::from_json(&capacity.to_json().unwrap()).unwrap(), capacity);
}

#[test]
fn stop_ends_a_load() {
    with_stop_button("load::requests::stop_ends_a_load", |button| {
        let service = Raw::start(|_| (proper("200 OK", ""), false));
        let press = press_soon(button);
        let started = std::time::Instant::now();
        let error = Load::new(&service.address).seconds(60.0).run().unwrap_err();
        press.join().unwrap();
        assert!(matches!(error, onramp::Error::Interrupted), "{error}");
        assert!(started.elapsed().as_secs() < 30);
    });
}
