//! Onramp: what the cells of the notebooks call.
//!
//! The modules follow the way of a lesson, from the learner's guess to the verdict:
//!
//! - [`judgement`]: a prediction before the run, the verdict and the exercises' checks after it
//! - [`data`], [`model`], [`training`]: what is learned, by which network, and how
//! - [`communication`]: how workers talk: all-reduce algorithms, links, threads, the replay
//! - [`sharing`]: training by several workers, in every way there is
//! - [`storage`]: tables of any size, on the disk
//! - [`serving`]: what answers requests: servers, and what stands before and behind them
//! - [`experiment`]: what a lesson varies and measures, and its results
//! - [`load`]: requests to a service at moments of their own, and how long each took
//! - [`measure`], [`law`]: numbers with intervals and their origin, and laws fitted to them
//! - [`figure`], [`display`], [`published`]: how results are shown, and numbers from papers beside them
//! - [`interrupt`]: stopping a long call without losing what earlier cells made
//! - [`device`], [`machine`], [`error`]: where it all runs, and what can go wrong
//!
//! A notebook begins with `use onramp::prelude::*;`.

pub mod communication;
pub mod data;
pub mod device;
pub mod display;
pub mod error;
pub mod experiment;
pub mod figure;
pub mod interrupt;
pub mod judgement;
pub mod law;
pub mod load;
pub mod machine;
pub mod measure;
pub mod model;
pub mod prelude;
mod process;
pub mod published;
pub mod serving;
pub mod sharing;
pub mod storage;
pub mod training;

pub use error::{Error, Result};
/// The data frames that [`display::Table`] shows and [`storage::Scan::run_on`] reads. A second copy of polars would have types of
/// its own.
pub use polars;
