//! The loop and the cascade over prediction servers, each a process of its own.

use onramp::prelude::*;

use crate::engine::support::complaint;

#[test]
fn the_loop_puts_new_parameters_in_place_at_a_server() {
    let server = Server::new(Feedback::model()).start().unwrap();
    let feedback = Feedback::new(4_500).inputs_shift(1_500, 1.0);
    let (there, here) = (feedback.clone().server(server.address()).run().unwrap(), feedback.run().unwrap());
    // The same requests, the same answers.
    assert!(there.without == here.without && there.with == here.with, "{}{}", there.table(), here.table());
    assert!(there.retrainings() >= 3);
    assert!(there.accuracy_at_end(true).unwrap().low > there.accuracy_at_end(false).unwrap().high);
}

#[test]
fn a_cascade_asks_two_servers() {
    let (edge, cloud) = (Mlp::new(8).inputs(64), Mlp::new(64).inputs(64));
    let (at_edge, in_cloud) = (Server::new(edge).start().unwrap(), Server::new(cloud).batch_cap(256).start().unwrap());
    let link = Link::custom("cloud", 0.005, 12.5e6).unwrap();
    let cascade = Cascade::new(edge, cloud, link).data(Source::digits()).steps(300);
    let there = cascade.clone().over(&at_edge.url(), in_cloud.address()).run().unwrap();
    let here = cascade.run().unwrap();
    assert_eq!(there.rows.len(), here.rows.len());
    for (there, here) in there.rows.iter().zip(&here.rows) {
        assert!((there.confidence - here.confidence).abs() < 1e-5);
        assert_eq!((there.edge_right, there.cloud_right), (here.edge_right, here.cloud_right));
    }
    // A question over HTTP takes longer than a call, and the link is in front of both.
    assert!(there.round_trips.iter().all(|seconds| *seconds > 0.010));
    let edge_seconds = |run: &onramp::serving::CascadeRun| run.rows.iter().map(|row| row.edge_seconds).sum::<f64>();
    assert!(edge_seconds(&there) > edge_seconds(&here));
}

#[test]
fn a_server_that_is_not_there_or_serves_something_else_is_named() {
    let feedback = Feedback::new(1_000);
    let text = complaint(feedback.clone().server("127.0.0.1:9").run());
    assert!(text.contains("http://127.0.0.1:9/parameters did not answer"), "{text}");
    let text = complaint(feedback.clone().server("no address").run());
    assert!(text.contains("no address") && text.contains("such as 127.0.0.1:8000"), "{text}");
    let other = Server::new(Mlp::new(4)).start().unwrap();
    let text = complaint(feedback.server(other.address()).run());
    assert!(text.contains("/parameters answered 400") && text.contains("layer1.bias"), "{text}");
}
