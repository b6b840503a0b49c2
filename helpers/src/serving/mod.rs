//! Serving: what answers requests, one process for each part.
//!
//! - [`Service`]: any part of a deployment, as a description; [`ServiceProcess`], the process that it becomes
//! - [`Server`]: predictions by a model, or by waits in its place ([`ServiceTime`])
//! - [`Autoscaler`], [`ScalingReplay`]: as many replicas as Kubernetes' rule ([`HpaRule`]) wants, really and on a virtual clock
//! - [`Hop`], [`Chain`]: services that call each other, their rare stalls, and hedged requests
//!
//! Inside: `http` (connections with limits, errors as JSON), `wire` (rows and predictions as bytes), `batcher` (the queue in
//! front of a model), `work` (what is done for a batch), `metrics`.

mod batcher;
mod client;
mod hops;
mod http;
mod metrics;
mod runtime;
mod scaling;
mod server;
mod service;
mod service_time;
mod stop;
mod wire;
mod work;

pub use hops::{Chain, ChainAnswer, ChainPoint, ChainRun, Hedge, Hop, RunningChain, Visit};
pub use scaling::{
    Autoscaler, AutoscalerMoment, AutoscalerRun, HpaDecision, HpaReason, HpaRule, HpaState, ReplicaProcesses, Replicas,
    Rotation, RunningAutoscaler, ScalingCase, ScalingMoment, ScalingReplay, ScalingReplayRun,
};
pub use server::Server;
pub use service::{Service, ServiceProcess};
pub use service_time::ServiceTime;
