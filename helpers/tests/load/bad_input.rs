//! Loads that can't be, and what is said about them.

use onramp::Error;
use onramp::load::{Capacity, Load};

use super::complaint;
use super::services::{Raw, proper};

#[test]
fn a_load_without_a_service_says_where_nothing_answers() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let error = Load::new(&address).run().unwrap_err();
    assert!(matches!(error, Error::Worker(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("nothing answers at {address}")) && text.contains("start the service"), "{text}");
}

#[test]
fn an_address_that_is_none_is_named() {
    for (target, words) in [
        ("127.0.0.1", "it has no port"),
        ("https://127.0.0.1:1/", "https is not spoken here"),
        ("", "it has no port"),
        ("127.0.0.1:99999", "it has no port"),
        ("http://no host:80/", "is no address of a service"),
    ] {
        let text = complaint(Load::new(target).run());
        assert!(text.contains(words) && text.contains(&format!("'{target}'")), "{target}: {text}");
    }
}

#[test]
fn another_machine_is_not_loaded_by_mistake() {
    // Documentation addresses (RFC 5737): were they asked, nobody would answer.
    for target in ["192.0.2.1:80", "http://192.0.2.1/predict", "[2001:db8::1]:80"] {
        let text = complaint(Load::new(target).run());
        assert!(text.contains("is not on this machine") && text.contains(".beyond_this_machine()"), "{text}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_their_value() {
    let service = Raw::start(|_| (proper("200 OK", ""), false));
    let load = || Load::new(&service.address);
    for (rate, shown) in
        [(0.0, "0 requests/s"), (f64::NAN, "NaN requests/s"), (-3.0, "-3 requests/s"), (1e9, "1000000000")]
    {
        let text = complaint(load().rate(rate).run());
        assert!(text.contains(shown) && text.contains("above 0 and at most 10000000"), "{text}");
    }
    assert!(complaint(load().seconds(0.0).run()).contains("a load for 0 s"));
    assert!(complaint(load().seconds(f64::INFINITY).run()).contains("a load for inf s"));
    assert!(complaint(load().warm_up_seconds(-1.0).run()).contains("a warm-up of -1 s"));
    assert!(complaint(load().timeout(0.0).run()).contains("a timeout of 0 s"));
    let text = complaint(load().connections(1_000_000_000).run());
    assert!(text.contains("1000000000 connections can't be opened") && text.contains("ulimit -n"), "{text}");
    assert!(complaint(load().connections(0).run()).contains("0 connections"));
    let text = complaint(load().on_core(4096).run());
    assert!(text.contains("there is no core 4096"), "{text}");
    let text = complaint(load().rate(0.1).warm_up_seconds(0.0).seconds(0.01).run());
    assert!(text.contains("no request was due"), "{text}");
}

#[test]
fn requests_that_can_not_be_made_are_refused_before_the_first() {
    let service = Raw::start(|_| panic!("no request should come"));
    let load = || Load::new(&service.address).seconds(0.1);
    assert!(complaint(load().path("predict").run()).contains("'predict' is no path"));
    assert!(complaint(load().path("/a b").run()).contains("'/a b' is no path"));
    assert!(complaint(load().method("G ET").run()).contains("'G ET' is no method"));
    assert!(complaint(load().header("a b", "c").run()).contains("'a b' is no name of a header"));
    assert!(complaint(load().header("x", "a\nb").run()).contains("can't have the value"));
    assert!(complaint(load().token("a\nb").run()).contains("can't have the value"));
    assert!(complaint(load().json_rows(0, 784).run()).contains("0 rows with 784 numbers"));
    assert!(complaint(load().tensor_rows(1 << 40, 1 << 40).run()).contains("can't be made"));
    assert!(complaint(load().different_bodies(0).json_rows(1, 1).run()).contains("0 different bodies"));
    let text = complaint(load().path("/session/{key}").run());
    assert!(text.contains(".keys(10_000, 1.0)"), "{text}");
    assert!(complaint(load().keys(0, 1.0).run()).contains("no 0 keys"));
    assert!(complaint(load().keys(10, -1.0).run()).contains("exponent -1"));
    let text = complaint(load().body("x", "text/plain").retries(2).run());
    assert!(text.contains("POST requests may not be done twice") && text.contains(".idempotent()"), "{text}");
}

#[test]
fn a_capacity_needs_numbers_above_0() {
    for capacity in [
        Capacity::new(Load::new("127.0.0.1:1"), 0.0),
        Capacity::new(Load::new("127.0.0.1:1"), f64::NAN),
        Capacity::new(Load::new("127.0.0.1:1"), 0.005).times(-1.0),
        Capacity::new(Load::new("127.0.0.1:1"), 0.005).seconds(0.0),
        Capacity::new(Load::new("127.0.0.1:1"), 0.005).resolution(0.0),
    ] {
        let text = complaint(capacity.run());
        assert!(text.contains("all must be above 0"), "{text}");
    }
}
