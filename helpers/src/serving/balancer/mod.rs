//! Spreading requests over replicas.
//!
//! - [`Balancer`]: which backends, by which [`Policy`], with which [`HealthCheck`]; [`RunningBalancer`] is one that runs
//! - [`BalancerLoad`]: how many requests each backend got, has, and lets wait
//!
//! Two programs can do it. HAProxy is what many sites run; it is used where it is installed. Where it is not, a process of
//! this library does the same, with tower's "power of two choices" and a hash ring. Both know the same policies, checks and
//! retries, and say the same when something is wrong, so that a lesson's cell is the same; the table says which one ran.

mod control;
mod description;
mod embedded;
mod haproxy;
mod load;
mod policy;
mod running;

pub use description::{Balancer, HealthCheck, Program};
pub use load::{BackendLoad, BackendState, BalancerLoad};
pub use policy::{Policy, SessionId};
pub use running::RunningBalancer;
