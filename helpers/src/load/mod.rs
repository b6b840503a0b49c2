//! Load: requests that come whether the service is ready for them or not, and how long each of them took.
//!
//! - [`Load`]: what is sent, when, and to which service; its result is a [`LoadRun`]
//! - [`Capacity`]: the highest rate that a service takes while its p99 stays in bounds
//!
//! Most tools send the next request when the answer to the last one is there (closed loop). A service that stalls for a
//! second then gets one slow request instead of the thousand that its users would have sent, and the percentiles look
//! fine: that is coordinated omission (Tene 2013, "How NOT to measure latency"). Here each request has its moment, and its
//! latency counts from that moment on, whenever it could really be sent.
//!
//! - `schedule`: the moments
//! - `message`: the requests' bytes, made before the first is sent
//! - `target`: which address is meant, and whether that may be loaded
//! - `running`: a plan of all this, and the generator in a thread of its own
//! - `generator`: watches the moments, on one thread; `dispatcher` gives what is due to a connection, `client` is a connection's
//!   life
//! - `connection`: one connection and the exchange of a request for its answer
//! - `alarm`, `idle_clock`: wake at a moment that is told in microseconds; whether the thread had anything to do
//! - `recorder`: what is written down meanwhile

mod alarm;
mod answers;
mod capacity;
mod capacity_run;
mod client;
mod connection;
mod dispatcher;
mod generator;
mod idle_clock;
mod load;
mod load_report;
mod load_run;
mod message;
mod recorder;
mod running;
mod schedule;
mod target;

pub(crate) use alarm::Alarm;

pub use answers::{AnswerClass, Failure, RetryAfter};
pub use capacity::Capacity;
pub use capacity_run::{CapacityRun, Trial, TrialEnd};
pub use load::Load;
pub use load_run::{LoadRun, Second};
