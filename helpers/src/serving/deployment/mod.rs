//! Replicas of one service behind a balancer.
//!
//! - [`Deployment`]: which service, how many replicas, which balancer; [`RunningDeployment`] is one that runs
//!
//! Inside: `scaling`, a deployment in the hands of an [`Autoscaler`](super::Autoscaler).

mod description;
mod running;
mod scaling;

use scaling::Scaling;

pub use description::Deployment;
pub use running::RunningDeployment;
