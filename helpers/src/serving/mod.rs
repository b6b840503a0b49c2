//! Serving: what answers requests, one process for each part.
//!
//! - [`Service`]: any part of a deployment, as a description; [`ServiceProcess`], the process that it becomes
//! - [`Server`]: predictions by a model, or by waits in its place ([`ServiceTime`])
//! - [`Cache`]: answers that are kept
//! - [`State`]: where sessions are kept, such as in a [`StateServer`]; [`SharedStore`], what replicas share in a lesson
//! - [`Balancer`]: spreads requests over several; [`Deployment`], replicas of a service behind one
//! - [`Autoscaler`], [`ScalingReplay`]: as many replicas as Kubernetes' rule ([`HpaRule`]) wants, really and on a virtual clock
//! - [`Hop`], [`Chain`]: services that call each other, their rare stalls, and hedged requests
//! - [`DriftMonitor`]: whether requests still look like those that the model learned from
//! - [`Feedback`]: a model in a world that changes, with and without training again
//! - [`Cascade`], [`Burst`]: a small model at the edge that asks a large one in the cloud
//! - [`NeighbourSearch`]: [`Neighbours`] searched for among all rows, and in cells
//! - [`Stages`]: from a file to an answer, stage by stage
//!
//! Inside: `http` (connections with limits, errors as JSON), `wire` (rows and predictions as bytes), `batcher` (the queue in
//! front of a model), `work` (what is done for a batch), `metrics`, `response_cache`, `in_service` (a model here or behind an
//! address), `listener` (where a service listens, and its token).

mod answer;
mod balancer;
mod batcher;
mod burst;
mod cache;
mod cascade;
mod cascade_run;
mod client;
mod deployment;
mod drift;
mod feedback;
mod feedback_course;
mod feedback_run;
mod hops;
mod http;
mod in_service;
mod listener;
mod metrics;
mod neighbours;
mod psi;
mod response_cache;
mod runtime;
mod scaling;
mod search;
mod search_run;
mod server;
mod service;
mod service_time;
mod sessions;
mod stages;
mod stages_run;
mod stages_work;
mod state;
mod stop;
mod wait;
mod wire;
mod work;

pub use balancer::{
    BackendLoad, BackendState, Balancer, BalancerLoad, HealthCheck, Policy, Program, RunningBalancer, SessionId,
};
pub use burst::{Answered, Burst, BurstRun, Fate};
pub use cache::{Cache, Eviction};
pub use cascade::Cascade;
pub use cascade_run::{CascadePoint, CascadeRow, CascadeRun};
pub use deployment::{Deployment, RunningDeployment};
pub use drift::{DriftMonitor, DriftWindow};
pub use feedback::{Feedback, Retrain};
pub use feedback_run::{FeedbackRun, FeedbackWindow};
pub use hops::{Chain, ChainAnswer, ChainPoint, ChainRun, Hedge, Hop, RunningChain, Visit};
pub use neighbours::{Cells, Neighbour, Neighbours};
pub use psi::FeaturePsi;
pub use scaling::{
    Autoscaler, AutoscalerMoment, AutoscalerRun, HpaDecision, HpaReason, HpaRule, HpaState, ReplicaProcesses, Replicas,
    Rotation, RunningAutoscaler, ScalingCase, ScalingMoment, ScalingReplay, ScalingReplayRun,
};
pub use search::{Lie, NeighbourSearch};
pub use search_run::{CellPoint, SearchPoint, SearchRun};
pub use server::Server;
pub use service::{Service, ServiceProcess};
pub use service_time::ServiceTime;
pub use sessions::{lost_sessions, owner_of_session};
pub use stages::{Stage, Stages};
pub use stages_run::{StageTime, StagesRun, WayTimes};
pub use state::{LocalRedis, SharedStore, State, StateServer};
