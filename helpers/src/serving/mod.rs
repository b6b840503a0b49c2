//! A model in service, and what happens around it.
//!
//! - [`DriftMonitor`]: whether requests still look like those that the model learned from
//! - [`Feedback`]: a model in a world that changes, with and without training again
//! - [`Cascade`], [`Burst`]: a small model at the edge that asks a large one in the cloud
//! - [`Neighbours`], [`NeighbourSearch`]: searching among all rows, and in cells
//! - [`Stages`]: from a file to an answer, stage by stage

mod answer;
mod burst;
mod cascade;
mod cascade_run;
mod drift;
mod feedback;
mod feedback_run;
mod neighbours;
mod search;
mod search_run;
mod stages;
mod stages_run;

pub use burst::{Answered, Burst, BurstRun, Fate};
pub use cascade::Cascade;
pub use cascade_run::{CascadePoint, CascadeRow, CascadeRun};
pub use drift::{DriftMonitor, DriftWindow, FeaturePsi};
pub use feedback::{Feedback, Retrain};
pub use feedback_run::{FeedbackRun, FeedbackWindow};
pub use neighbours::{Cells, Neighbour, Neighbours};
pub use search::{Lie, NeighbourSearch};
pub use search_run::{CellPoint, SearchPoint, SearchRun};
pub use stages::{Stage, Stages};
pub use stages_run::{StageTime, StagesRun, WayTimes};
