//! Services, and what stands before them.

mod balancer;
mod balancer_faults;
mod deployment;
mod support;
