//! How many replicas: the rule by which Kubernetes decides it, on a virtual clock and on real processes.
//!
//! - [`HpaRule`]: target, windows and limits; [`HpaState`] decides, one observation after the other
//! - [`ScalingReplay`]: the rule against a load that changes, on a virtual clock
//! - [`Autoscaler`]: the same rule, starting and stopping what is behind [`Replicas`]
//! - [`ReplicaProcesses`]: replicas that are processes of this machine; a
//!   [`RunningDeployment`](super::RunningDeployment) can be scaled as well, behind its balancer
//!
//! Inside: `starts` and `ends`, replicas on their way in and out.

mod autoscaler;
mod autoscaler_run;
mod ends;
mod hpa_rule;
mod hpa_state;
mod replica_processes;
mod scaling_replay;
mod scaling_run;
mod starts;
mod virtual_replicas;

pub(super) use ends::Ends;
pub(super) use starts::Starts;

pub use autoscaler::{Autoscaler, Replicas, RunningAutoscaler};
pub use autoscaler_run::{AutoscalerMoment, AutoscalerRun};
pub use hpa_rule::HpaRule;
pub use hpa_state::{HpaDecision, HpaReason, HpaState};
pub use replica_processes::{ReplicaProcesses, Rotation};
pub use scaling_replay::ScalingReplay;
pub use scaling_run::{ScalingCase, ScalingMoment, ScalingReplayRun};
