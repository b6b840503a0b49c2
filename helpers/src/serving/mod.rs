//! Serving: what answers requests, one process for each part.
//!
//! - [`Service`]: any part of a deployment, as a description; [`ServiceProcess`], the process that it becomes
//! - [`Server`]: predictions by a model, or by waits in its place ([`ServiceTime`])
//! - [`Cache`]: answers that are kept
//! - [`State`]: where sessions are kept, such as in a [`StateServer`]; [`SharedStore`], what replicas share in a lesson
//! - [`Balancer`]: spreads requests over several; [`Deployment`], replicas of a service behind one
//!
//! Inside: `http` (connections with limits, errors as JSON), `wire` (rows and predictions as bytes), `batcher` (the queue in
//! front of a model), `work` (what is done for a batch), `metrics`, `response_cache`.

mod balancer;
mod batcher;
mod cache;
mod client;
mod deployment;
mod http;
mod metrics;
mod response_cache;
mod runtime;
mod server;
mod service;
mod service_time;
mod sessions;
mod state;
mod stop;
mod wait;
mod wire;
mod work;

pub use balancer::{
    BackendLoad, BackendState, Balancer, BalancerLoad, HealthCheck, Policy, Program, RunningBalancer, SessionId,
};
pub use cache::{Cache, Eviction};
pub use deployment::{Deployment, RunningDeployment};
pub use server::Server;
pub use service::{Service, ServiceProcess};
pub use service_time::ServiceTime;
pub use sessions::{lost_sessions, owner_of_session};
pub use state::{LocalRedis, SharedStore, State, StateServer};
