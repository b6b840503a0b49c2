//! The prediction server: right answers to what is right, clear ones to what is wrong, and healthy after all of it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use onramp::prelude::*;

use super::backends::wait_until;
use super::complaint;
use super::support::{Answer, JSON, ask, get, predict, read_answer, send_raw};
use crate::again::run_again_with;

fn small() -> Server {
    Server::new(Mlp::new(8).inputs(4).outputs(3)).batch_cap(16)
}

fn is_healthy(address: &str) {
    assert_eq!(get(address, "/ready").status, 200);
    assert_eq!(predict(address, "[[1, 2, 3, 4]]").status, 200);
}

fn error(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["request_id"].as_str(), answer.header("x-request-id").as_deref());
    body["error"].as_str().unwrap().to_string()
}

#[test]
fn predictions_are_those_of_the_model() {
    let server = small().start().unwrap();
    let answer = predict(server.address(), "[[1, 2, 3, 4], [-1, 0.5, 0, 2]]");
    assert_eq!((answer.status, answer.header("x-version").as_deref()), (200, Some("1")));

    let network = Mlp::new(8).inputs(4).outputs(3).build(0, &Device::Cpu).unwrap();
    let rows = [1.0_f32, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 2.0];
    let rows = Tensor::from_slice(&rows, (2, 4), network.device()).unwrap();
    let scores = candle_nn::ops::softmax(&network.forward(&rows).unwrap(), 1).unwrap().to_vec2::<f32>().unwrap();
    let body = answer.json();
    for (row, scores) in scores.iter().enumerate() {
        for (class, expected) in scores.iter().enumerate() {
            let given = body["probabilities"][row][class].as_f64().unwrap();
            assert!((given - f64::from(*expected)).abs() < 1e-5, "row {row}, class {class}: {given}, not {expected}");
        }
        let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(body["classes"][row], best);
    }
}

#[test]
fn a_tensor_is_answered_with_tensors() {
    let server = small().start().unwrap();
    let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 4], &bytes).unwrap();
    let body = safetensors::serialize([("rows", view)], None).unwrap();
    let answer = ask(server.address(), "POST", "/predict", &[("content-type", "application/x-safetensors")], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tensors = safetensors::SafeTensors::deserialize(&answer.body).unwrap();
    let probabilities = tensors.tensor("probabilities").unwrap();
    assert_eq!(probabilities.shape(), [1, 3]);
    let json = predict(server.address(), "[[1, 2, 3, 4]]").json();
    for (class, bytes) in probabilities.data().chunks_exact(4).enumerate() {
        let value = f32::from_le_bytes(bytes.try_into().unwrap());
        assert!((json["probabilities"][0][class].as_f64().unwrap() - f64::from(value)).abs() < 1e-6);
    }
}

#[test]
fn what_is_wrong_is_said_and_the_server_goes_on() {
    let server = small().longest_body(4096).start().unwrap();
    let address = server.address();
    let wrong = |body: &str| error(&ask(address, "POST", "/predict", &[JSON], body.as_bytes()), 400);
    assert!(wrong("{\"rows\": [[1, 2").contains("can't be read"));
    assert!(wrong("{\"rows\": [[1, 2, 3]]}").contains("row 0 has 3 numbers, not 4"));
    assert!(wrong("{\"rows\": [[1, 2, 3, NaN]]}").contains("can't be read"));
    assert!(wrong("{\"rows\": [[1, 2, 3, 1e39]]}").contains("number 3 of row 0 is inf"));
    let long = "1, ".repeat(3000);
    assert!(error(&ask(address, "POST", "/predict", &[JSON], long.as_bytes()), 413).contains("4096 bytes"));
    let text = error(&ask(address, "POST", "/predict", &[("content-type", "text/csv")], b"1,2,3,4"), 415);
    assert!(text.contains("text/csv") && text.contains("application/json"), "{text}");
    assert!(error(&get(address, "/predictions"), 404).contains("/predictions"));
    assert!(error(&get(address, "/predict"), 405).contains("GET"));
    let late = ask(address, "POST", "/predict", &[JSON, ("x-deadline-ms", "soon")], b"{\"rows\": [[1, 2, 3, 4]]}");
    assert!(error(&late, 400).contains("soon"));
    let none = ask(address, "POST", "/predict", &[JSON, ("x-deadline-ms", "0")], b"{\"rows\": [[1, 2, 3, 4]]}");
    assert!(error(&none, 504).contains("deadline"));
    assert_eq!(send_raw(address, b"this is no HTTP at all\r\n\r\n").status, 400);
    assert_eq!(send_raw(address, &[b'x'; 1 << 20]).status / 100, 4);
    is_healthy(address);
}

#[test]
fn a_request_keeps_its_name() {
    let server = small().start().unwrap();
    let named = ask(server.address(), "GET", "/health", &[("x-request-id", "mine-1")], b"");
    assert_eq!(named.header("x-request-id").as_deref(), Some("mine-1"));
    let first = get(server.address(), "/health").header("x-request-id").unwrap();
    assert_ne!(first, get(server.address(), "/health").header("x-request-id").unwrap());
    let long = "x".repeat(200);
    assert_ne!(
        ask(server.address(), "GET", "/health", &[("x-request-id", &long)], b"").header("x-request-id"),
        Some(long)
    );
}

#[test]
fn slow_senders_and_half_open_connections_lose_their_place() {
    let server = small().slowest_sender(0.4).connections(8).start().unwrap();
    let address = server.address();
    // Each begins a request and never ends it: headers, or a body. Together they take every connection that there is.
    let starts = [
        &b"POST /predict HTTP/1.1\r\nhost: he"[..],
        b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"rows\"",
    ];
    let mut slow: Vec<TcpStream> = (0..8)
        .map(|index| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(starts[index % 2]).unwrap();
            stream
        })
        .collect();
    is_healthy(address);
    let answers: Vec<u16> = slow.iter_mut().map(|stream| read_answer(stream).status).collect();
    assert!(answers.iter().all(|status| [0, 408].contains(status)), "{answers:?}");
    assert!(answers.iter().skip(1).step_by(2).all(|status| *status == 408), "{answers:?}");
    is_healthy(address);
}

#[test]
fn a_thousand_connections_do_no_harm() {
    let server = small().start().unwrap();
    let mut idle: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    is_healthy(server.address());
    for stream in idle.iter_mut().step_by(100) {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").unwrap();
        assert_eq!(read_answer(stream).status, 200);
    }
    drop(idle);
    is_healthy(server.address());
}

#[test]
fn beyond_its_queue_requests_are_refused_at_once() {
    let server = Server::timed(ServiceTime::constant(0.3)).queue_bound(2).deadline(20.0).start().unwrap();
    let address = server.address();
    let start = Instant::now();
    let answers: Vec<(Answer, Duration)> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| (predict(address, "[[1]]"), start.elapsed()));
        let threads: Vec<_> = (0..12).map(|_| ask()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(answer, _)| answer.status == 200);
    // One in work and two that wait; another one where the first was taken before the last came, one less where all had come
    // before the first was.
    assert!((2..=4).contains(&taken.len()), "{answers:?}");
    for (answer, _) in &refused {
        assert!(error(answer, 429).contains("come again"));
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    let last_taken = taken.iter().map(|(_, after)| *after).max().unwrap();
    assert!(refused.iter().all(|(_, after)| *after < last_taken / 2), "{answers:?}");
}

#[test]
fn what_is_too_late_or_given_up_is_not_done() {
    let server = Server::timed(ServiceTime::constant(0.3)).deadline(20.0).start().unwrap();
    let address = server.address();
    let body = b"{\"rows\": [[1]]}";
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(predict(address, "[[1]]").status, 200));
        std::thread::sleep(Duration::from_millis(100));
        // Both wait behind the first: one until its deadline, one until its client hangs up.
        scope.spawn(|| {
            let answer = ask(address, "POST", "/predict", &[JSON, ("x-deadline-ms", "50")], body);
            assert!(error(&answer, 504).contains("deadline"));
        });
        let mut gone = TcpStream::connect(address).unwrap();
        gone.write_all(b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n").unwrap();
        gone.write_all(b"content-length: 15\r\n\r\n{\"rows\": [[1]]}").unwrap();
        std::thread::sleep(Duration::from_millis(50));
    });
    assert_eq!(predict(address, "[[1]]").status, 200);
    let metrics = get(address, "/metrics").text();
    assert!(metrics.contains("onramp_batch_rows_count 2\n"), "{metrics}");
    assert!(metrics.contains("onramp_requests_total{path=\"/predict\",status=\"504\"} 1\n"), "{metrics}");
}

#[test]
fn requests_that_come_together_share_a_batch() {
    let server = Server::timed(ServiceTime::constant(0.2)).batch_cap(4).batch_wait(0.05).start().unwrap();
    let address = server.address();
    std::thread::scope(|scope| {
        for _ in 0..9 {
            scope.spawn(|| assert_eq!(predict(address, "[[1]]").status, 200));
        }
    });
    let batches = server.metric("onramp_batch_rows_count").unwrap().unwrap();
    assert!([3.0, 4.0].contains(&batches), "{batches}");
    assert_eq!(server.metric("onramp_batch_rows_sum").unwrap(), Some(9.0));
    assert_eq!(server.metric("onramp_requests_total").unwrap(), Some(9.0));
    assert_eq!(server.metric("onramp_batch").unwrap(), None);
}

#[test]
fn other_parameters_are_put_in_place() {
    let model = Mlp::new(8).inputs(4).outputs(3);
    let server = small().start().unwrap();
    let before = predict(server.address(), "[[1, 2, 3, 4]]");
    let other = model.build(7, &Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let tensors = other.variables().iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
    candle_core::safetensors::save(&tensors.collect(), &path).unwrap();
    let file = std::fs::read(&path).unwrap();

    let answer = ask(server.address(), "PUT", "/parameters", &[], &file);
    assert_eq!(answer.json()["version"], 2);
    let after = predict(server.address(), "[[1, 2, 3, 4]]");
    assert_eq!(after.header("x-version").as_deref(), Some("2"));
    assert_ne!(after.json()["probabilities"], before.json()["probabilities"]);

    let started_with_it = small().parameters(&path).start().unwrap();
    let from_file = predict(started_with_it.address(), "[[1, 2, 3, 4]]");
    assert_eq!(from_file.json()["probabilities"], after.json()["probabilities"]);

    assert!(error(&ask(server.address(), "PUT", "/parameters", &[], b"nonsense"), 400).contains("safetensors"));
    let larger = Server::new(Mlp::new(9).inputs(4).outputs(3)).parameters(&path);
    let text = complaint(larger.start());
    assert!(text.contains("other.safetensors") && text.contains("[8]") && text.contains("[9]"), "{text}");
    assert_eq!(predict(server.address(), "[[1, 2, 3, 4]]").header("x-version").as_deref(), Some("2"));
}

#[test]
fn beyond_this_machine_a_token_is_needed() {
    let text = complaint(small().listen("0.0.0.0:0").start());
    assert!(text.contains("needs a token"), "{text}");
    assert!(complaint(small().listen("localhost").start()).contains("'localhost' is no address"));

    for nobody_sends in ["", " word", "word ", "line\n", "ö"] {
        assert!(complaint(small().token(nobody_sends).start()).contains("a token must be"));
        assert!(complaint(StateServer::new().token(nobody_sends).start()).contains("a token must be"));
        assert!(complaint(Hop::new("hop").token(nobody_sends).start()).contains("a token must be"));
    }

    let server = small().token("open sesame").start().unwrap();
    let body = b"{\"rows\": [[1, 2, 3, 4]]}";
    for shown in ["", "Bearer open", "Basic open sesame"] {
        let answer = ask(server.address(), "POST", "/predict", &[JSON, ("authorization", shown)], body);
        assert!(error(&answer, 401).contains("token"));
    }
    let answer = ask(server.address(), "POST", "/predict", &[JSON, ("authorization", "Bearer open sesame")], body);
    assert_eq!((answer.status, get(server.address(), "/ready").status), (200, 200));
    // The process that started it knows the token.
    assert_eq!(server.metric("onramp_batch_rows_sum").unwrap(), Some(1.0));
}

#[test]
fn a_server_that_is_asked_to_end_finishes_what_it_has() {
    let mut server = Server::timed(ServiceTime::constant(0.4)).start().unwrap();
    let address = server.address().to_string();
    let under_way = std::thread::spawn(move || predict(&address, "[[1]]").status);
    std::thread::sleep(Duration::from_millis(150));
    server.stop().unwrap();
    assert_eq!(under_way.join().unwrap(), 200);
    assert!(!server.is_running().unwrap());
    assert!(TcpStream::connect(server.address()).is_err());
}

#[test]
fn a_server_with_one_core_does_the_same() {
    let mut server = small().batch_cap(4).batch_wait(0.002).queue_bound(8).start_on_core(0).unwrap();
    let address = server.address().to_string();
    let other = small().start().unwrap();
    let rows = "[[1, 2, 3, 4], [-1, 0.5, 0, 2]]";
    assert_eq!(predict(&address, rows).json(), predict(other.address(), rows).json());
    assert!(error(&predict(&address, "[[1, 2]]"), 400).contains("not 4"));
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| (0..50).map(|_| predict(&address, rows).status).collect::<Vec<_>>());
        let threads: Vec<_> = (0..24).map(ask).collect();
        assert_eq!(get(&address, "/health").status, 200);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|status| [200, 429].contains(status)), "{answers:?}");
    assert!(answers.iter().filter(|status| **status == 200).count() > 50, "{answers:?}");
    is_healthy(&address);
    let done = server.metric("onramp_batch_rows_sum").unwrap().unwrap();
    assert!(done >= 2.0 * 50.0, "{done}");
    assert!(server.processor_seconds().unwrap() > 0.0 && server.memory_bytes().unwrap() > 1 << 20);
    server.stop().unwrap();
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn numbers_that_are_too_large_for_the_model_are_told() {
    let server = small().cache(Cache::new(8)).start().unwrap();
    for _ in 0..2 {
        let text = error(&predict(server.address(), "[[1, 2, 3, 4], [3e38, -3e38, 3e38, -3e38]]"), 400);
        assert!(text.contains("row 1 are too large"), "{text}");
    }
    is_healthy(server.address());
}

#[test]
fn a_server_that_cuts_a_request_off_has_not_ended_well() {
    let mut server = Server::timed(ServiceTime::constant(60.0)).deadline(100.0).start().unwrap();
    let address = server.address().to_string();
    let under_way = std::thread::spawn(move || predict(&address, "[[1]]").status);
    std::thread::sleep(Duration::from_millis(500));
    let text = complaint(server.stop());
    assert!(text.contains("not answered within 10 s") && text.contains(server.address()), "{text}");
    assert_eq!(under_way.join().unwrap(), 0);
    server.stop().unwrap();
}

#[test]
fn a_server_that_has_died_uses_nothing() {
    let server = small().start().unwrap();
    assert!(server.memory_bytes().unwrap() > 1 << 20);
    assert!(server.processor_seconds().unwrap() < 60.0);
    std::process::Command::new("kill").args(["-9", &server.process_id().to_string()]).status().unwrap();
    // Until somebody asks for its end, the system keeps its number.
    wait_until("the end of the server", || server.memory_bytes().is_err());
    let text = complaint(server.processor_seconds());
    assert!(text.contains("has ended"), "{text}");
}

#[test]
fn another_program_than_that_of_services_is_told() {
    const PROGRAM: &str = "ONRAMP_WORKER";
    const MARK: &str = "not-onramp";
    if std::env::var_os(PROGRAM).is_none_or(|program| !program.to_string_lossy().contains(MARK)) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(MARK);
        std::fs::write(&program, "#!/bin/sh\necho good morning\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        run_again_with("serving::server::another_program_than_that_of_services_is_told", PROGRAM, &program);
        return;
    }
    let text = complaint(small().start());
    assert!(text.contains("said 'good morning'"), "{text}");
}

#[test]
fn a_server_that_makes_no_sense_is_refused() {
    assert!(complaint(small().batch_cap(0).start()).contains("0 rows in a batch"));
    assert!(complaint(small().deadline(f64::NAN).start()).contains("NaN s for an answer"));
    assert!(complaint(Server::timed(ServiceTime::constant(-1.0)).start()).contains("-1 s for a batch"));
    assert!(complaint(Server::new(Mlp::new(0)).start()).contains("width 0"));
    let taken = small().start().unwrap();
    assert!(complaint(small().listen(taken.address()).start()).contains(taken.address()));
}

#[test]
fn a_service_ends_with_the_one_that_started_it() {
    let server = small().start().unwrap();
    let (address, process) = (server.address().to_string(), server.process_id());
    drop(server);
    assert!(TcpStream::connect(&address).is_err());
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());
}

#[test]
fn the_same_rows_are_computed_once() {
    let server = Server::timed(ServiceTime::constant(0.2)).cache(Cache::new(10)).start().unwrap();
    let address = server.address();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(predict(address, "[[1, 2]]").status, 200));
        }
    });
    let again = predict(address, "[[1, 2]]");
    assert_eq!(again.header("x-cache").as_deref(), Some("hit"));
    assert!(again.header("x-cache-age-ms").unwrap().parse::<u64>().is_ok());
    assert_eq!(predict(address, "[[2, 1]]").header("x-cache").as_deref(), Some("miss"));
    let metrics = get(address, "/metrics").text();
    assert!(metrics.contains("onramp_batch_rows_count 2\n"), "{metrics}");
    assert!(metrics.contains("onramp_cache_misses_total 2\n"), "{metrics}");
}

#[test]
fn answers_of_former_parameters_are_forgotten() {
    let model = Mlp::new(8).inputs(4).outputs(3);
    let server = small().cache(Cache::new(10)).start().unwrap();
    let before = predict(server.address(), "[[1, 2, 3, 4]]");
    let other = model.build(7, &Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let tensors = other.variables().iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
    candle_core::safetensors::save(&tensors.collect(), &path).unwrap();
    ask(server.address(), "PUT", "/parameters", &[], &std::fs::read(&path).unwrap());
    let after = predict(server.address(), "[[1, 2, 3, 4]]");
    assert_eq!(after.header("x-cache").as_deref(), Some("miss"));
    assert_ne!(after.json()["probabilities"], before.json()["probabilities"]);
}

#[test]
fn sessions_are_shared_where_the_store_is_and_lost_with_a_replica_where_not() {
    let count = |address: &str| ask(address, "POST", "/session/ada", &[], b"");
    let mut alone = small().start().unwrap();
    assert_eq!(
        (count(alone.address()).json()["count"].as_u64(), count(alone.address()).json()["count"].as_u64()),
        (Some(1), Some(2))
    );
    alone.kill().unwrap();
    assert_eq!(count(small().start().unwrap().address()).json()["count"], 1);

    let mut store = StateServer::new().start().unwrap();
    let replica = || small().state(State::server(store.address())).start().unwrap();
    let (first, second) = (replica(), replica());
    assert_eq!(count(first.address()).json()["count"], 1);
    assert_eq!(count(second.address()).json()["count"], 2);
    store.kill().unwrap();
    assert!(error(&count(first.address()), 503).contains(store.address()));
    assert_eq!((get(first.address(), "/ready/sessions").status, get(first.address(), "/ready").status), (503, 200));
    // Predictions need no session.
    assert_eq!(predict(second.address(), "[[1, 2, 3, 4]]").status, 200);
    let again = StateServer::new().listen(store.address()).start().unwrap();
    assert_eq!(count(second.address()).json()["count"], 1);
    assert_eq!(get(first.address(), "/ready/sessions").status, 200);
    assert!(
        error(&ask(first.address(), "POST", &format!("/session/{}", "x".repeat(5000)), &[], b""), 400)
            .contains("session")
    );
    drop(again);
}
