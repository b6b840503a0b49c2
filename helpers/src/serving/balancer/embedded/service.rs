//! The embedded balancer as a service.

use std::time::Duration;

use axum::Router;
use axum::routing::any;

use super::forward::{Forwarding, forward};
use super::orders;
use super::pool::Pool;
use crate::error::Result;
use crate::serving::balancer::Balancer;
use crate::serving::http::{ConnectionLimits, Prepared};

impl Balancer {
    /// Checks the description, takes orders, and begins to look after the backends.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a setting that can't be; an error of the system when the socket
    /// for orders can't be opened.
    pub(crate) async fn prepare(self) -> Result<Prepared> {
        self.check()?;
        let sender = Duration::from_secs_f64(self.sender_seconds);
        let body_bytes = self.largest_body_bytes;
        let limits = ConnectionLimits { header: sender, body: sender, body_bytes, ..ConnectionLimits::default() };
        let control = self.control.clone();
        let pool = Pool::new(self);
        if !control.as_os_str().is_empty() {
            orders::take(&control, pool.clone())?;
        }
        let router = Router::new().route("/", any(forward)).route("/{*path}", any(forward));
        Ok(Prepared { router: router.with_state(Forwarding { pool, limits }), limits })
    }
}
