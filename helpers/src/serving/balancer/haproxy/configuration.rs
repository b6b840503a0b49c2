//! The configuration that HAProxy gets.

use crate::serving::balancer::description::RETRIES;
use crate::serving::balancer::{Balancer, Policy, SessionId};

/// The group of all backends.
pub(super) const GROUP: &str = "replicas";
/// Names the file handle of the socket that is listened at; it is open before HAProxy starts, so that its port is known and
/// nobody else can take it.
pub(super) const LISTENER: &str = "ONRAMP_LISTENER";
/// Names the token, which stands in no file.
pub(super) const TOKEN: &str = "ONRAMP_TOKEN";
/// Requests longer than this are not kept for a second attempt.
const BUFFER_BYTES: usize = 256 << 10;
/// Points of each backend on the ring of the consistent hash: sixteen for each unit of weight.
const WEIGHT: usize = 16;
/// Connections that a backend needs no more are closed so soon; it can't be removed before.
const PURGE: &str = "200ms";
/// An answer that HAProxy makes itself, with the request's own name. The text must have no quotation marks.
const BODY: &str = r#"'{"error": "TEXT", "request_id": "%[var(txn.request_id),json(utf8s)]"}'"#;

/// A backend's name.
pub(super) fn name(number: usize) -> String {
    format!("backend-{number}")
}

/// What stands on a backend's line after its name. Its id decides its places on the ring.
pub(super) fn backend(balancer: &Balancer, number: usize, address: &str) -> String {
    let health = &balancer.health;
    let most = balancer.connections_per_backend.map(|most| format!(" maxconn {most}")).unwrap_or_default();
    format!(
        "{address} id {} weight {WEIGHT} check inter {}ms rise {} fall {} observe layer4 error-limit 1 on-error \
         mark-down pool-purge-delay {PURGE}{most}",
        number + 1,
        milliseconds(health.interval_seconds),
        health.rise,
        health.fall,
    )
}

/// The whole file.
pub(in crate::serving::balancer) fn configuration(balancer: &Balancer) -> String {
    let Balancer { queue_seconds, connect_seconds, answer_seconds, sender_seconds, .. } = balancer;
    let Balancer { largest_body_bytes, queue_bound, .. } = balancer;
    // What is unavailable now may be there later.
    let answer = |status: u16, text: &str| {
        let later = if status == 503 { " hdr retry-after 1" } else { "" };
        format!("status {status} content-type application/json lf-string {}{later}", BODY.replace("TEXT", text))
    };
    let problem = |status: u16, text: &str| format!("    http-error {}\n", answer(status, text));
    let refusal = |status: u16, text: &str, condition: &str| {
        format!("    http-request return {} {condition}\n", answer(status, text))
    };
    let token = balancer.listener.token.as_ref().map(|_| {
        let text = "this service needs a token: send the header Authorization: Bearer with it";
        let condition =
            format!("unless {{ path /health /ready }} or {{ req.fhdr(authorization) -m str \"Bearer ${{{TOKEN}}}\" }}");
        refusal(401, text, &condition)
    });
    let (choice, stick) = match &balancer.policy {
        Policy::RoundRobin => ("    balance roundrobin\n".to_string(), String::new()),
        Policy::LeastConnections => ("    balance leastconn\n".to_string(), String::new()),
        Policy::ConsistentHash { header } => {
            (format!("    balance hdr({header})\n    hash-type consistent djb2 avalanche\n"), String::new())
        }
        Policy::Sticky { session } => {
            let place = match session {
                SessionId::Header(header) => format!("req.hdr({header})"),
                SessionId::Cookie(cookie) => format!("req.cook({cookie})"),
            };
            let table = format!("    stick-table type string len 128 size 100k expire 30m\n    stick on {place}\n");
            ("    balance roundrobin\n".to_string(), table)
        }
    };
    let retry = if balancer.retry_idempotent {
        "    # Sent again only when it may be done twice, and not what took too long.\n    \
         retry-on conn-failure empty-response junk-response\n    \
         http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE } or { method POST } { path /predict } \
         or { req.hdr(x-idempotent) -m str 1 }\n"
    } else {
        "    # Sent again only when it reached nobody.\n    retry-on conn-failure\n"
    };
    let backends = balancer.backends.iter().enumerate();
    let backends: String = backends
        .map(|(number, address)| format!("    server {} {}\n", name(number), backend(balancer, number, address)))
        .collect();
    [
        "# Written for one run. HAProxy runs in this file's folder.\n",
        "global\n    nbthread 1\n    maxconn 4096\n    no strict-limits\n",
        &format!("    tune.bufsize {BUFFER_BYTES}\n"),
        &format!("    stats socket unix@{} mode 600 level admin\n", super::super::control::SOCKET),
        "\n",
        "defaults\n    mode http\n",
        &format!("    timeout connect {}ms\n", milliseconds(*connect_seconds)),
        &format!("    timeout server {}ms\n", milliseconds(*answer_seconds)),
        &format!("    timeout queue {}ms\n", milliseconds(*queue_seconds)),
        // A client waits for as long as it may take, and a second more, so that it gets the answer that says so.
        &format!("    timeout client {}ms\n", 1000 + milliseconds(answer_seconds + queue_seconds)),
        &format!("    timeout http-request {}ms\n", milliseconds(*sender_seconds)),
        "    timeout http-keep-alive 60s\n    timeout check 1s\n",
        &problem(400, "this is not a request in HTTP"),
        &problem(408, &format!("the request was not complete within {sender_seconds} s")),
        &problem(
            502,
            "%s broke off the connection or did not answer in HTTP; the others go on: send the request again",
        ),
        &problem(
            503,
            "no backend took the request: it could not be reached, or none became free in time; try again later",
        ),
        &problem(504, &format!("%s did not answer within {answer_seconds} s")),
        "\nfrontend entrance\n",
        &format!(
            "    # {}, opened before this program started\n    bind \"fd@${{{LISTENER}}}\"\n",
            balancer.listener.address
        ),
        "    http-request set-header x-request-id %[uuid()] unless { req.hdr(x-request-id) -m found }\n",
        "    http-request set-var(txn.request_id) req.hdr(x-request-id)\n",
        "    http-after-response set-header x-request-id %[var(txn.request_id)]\n",
        token.as_deref().unwrap_or_default(),
        // The body is waited for here, so that a slow sender keeps no backend busy, and so that it can be sent again.
        "    option http-buffer-request\n",
        &refusal(
            413,
            &format!(
                "the body has more than {largest_body_bytes} bytes; send less at once, or raise the limit: \
                 .largest_body_bytes(bytes) of a balancer"
            ),
            &format!("if {{ req.body_size gt {largest_body_bytes} }}"),
        ),
        // While it ends it counts none as up, and yet they answer what is under way.
        &refusal(503, "no backend is up; try again later", &format!("if {{ nbsrv({GROUP}) eq 0 }} !{{ stopping }}")),
        &refusal(
            503,
            &format!("{queue_bound} requests wait already; try again later"),
            &format!("if {{ queue({GROUP}) ge {queue_bound} }}"),
        ),
        &format!("    default_backend {GROUP}\n\nbackend {GROUP}\n"),
        &choice,
        &stick,
        &format!("    retries {RETRIES}\n    option redispatch 1\n"),
        retry,
        "    option httpchk\n",
        &format!("    http-check send meth GET uri {} ver HTTP/1.1 hdr host backend\n", balancer.health.path),
        "    http-check expect status 200\n",
        "    http-response set-header x-backend %s\n",
        &backends,
    ]
    .concat()
}

fn milliseconds(seconds: f64) -> u64 {
    (1000.0 * seconds).ceil() as u64
}
