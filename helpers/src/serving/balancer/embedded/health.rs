//! Finding out whether backends can take requests.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::http::{Request, StatusCode};
use tracing::warn;

use super::backend::{Backend, Standing};
use super::endpoint::exchange;
use super::pool::Pool;

/// A check that is not answered by then has failed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Checks a backend until it is gone.
pub(super) async fn watch(backend: Weak<Backend>, pool: Arc<Pool>) {
    let rule = &pool.balancer.health;
    while let Some(backend) = backend.upgrade() {
        let well = is_well(&backend, &pool).await;
        if let Some(standing) = backend.checked(well, rule) {
            pool.changed();
            let now = if standing == Standing::Up { "up" } else { "down" };
            warn!("backend {} at {} is {now}", backend.number, backend.address);
        }
        drop(backend);
        tokio::time::sleep(Duration::from_secs_f64(rule.interval_seconds)).await;
    }
}

async fn is_well(backend: &Backend, pool: &Pool) -> bool {
    let place = format!("http://{}{}", backend.address, pool.balancer.health.path);
    match Request::get(place).body(Default::default()) {
        Ok(request) => {
            let answer = exchange(&pool.connections, request, PATIENCE).await;
            answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
        }
        Err(_) => false,
    }
}
