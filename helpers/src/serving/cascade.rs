//! A small model at the edge that asks a large one in the cloud when it is not sure.
//!
//! ```text
//! row -> edge model -> confidence >= threshold: its answer
//!                      confidence <  threshold: over the link -> cloud model -> over the link: the cloud's answer
//! ```
//!
//! The confidence is the probability that the edge model gives its own class, by the softmax of its scores. (The idea: Viola and
//! Jones 2001; for networks Teerapittayanon, McDanel and Kung 2017, "Distributed deep neural networks over the cloud, the edge
//! and end devices".) Any two models of which one is better gain by asking the better one more often, so the cascade
//! is compared with a control that sends *the same share of rows, chosen at random*: what is above it, the
//! confidence has earned. With a share c sent, each row is right at random with a probability of (1 - c) e + c r, where e and r say
//! whether edge and cloud are right about it; that is the mean over all ways to choose.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::cascade_run::{CascadePoint, CascadeRow, CascadeRun};
use super::in_service::InService;
use crate::communication::{Communicator, Link, Team};
use crate::data::{Dataset, Source};
use crate::device::Device;
use crate::display::Progress;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::machine::{self, Machine};
use crate::model::Model;
use crate::training::Training;

/// Rows that are really sent to the cloud and back; each takes twice the link's latency.
const ROUND_TRIPS: usize = 60;
/// Rows that are answered at once where no time is taken.
const CHUNK: usize = 256;
/// Passes before the first that is timed.
const WARM_UPS: usize = 20;

/// Two models, the link between them, and the thresholds to try.
///
/// ```no_run
/// use onramp::prelude::*;
/// use onramp::serving::Cascade;
///
/// let run = Cascade::new(Mlp::new(32), Mlp::new(512), Link::custom("cloud", 0.020, 12.5e6)?).run()?;
/// assert!(run.near_share(0.25)?.gain.low > 0.0);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cascade {
    pub(super) edge: Model,
    pub(super) cloud: Model,
    pub(super) link: Link,
    pub(super) data: Source,
    pub(super) thresholds: Vec<f64>,
    pub(super) steps: usize,
    pub(super) seed: u64,
    pub(super) servers: Option<(String, String)>,
}

impl Cascade {
    /// These models on the two sides of this link, each trained for 500 steps on 12,000 teacher-labelled rows.
    pub fn new(edge: impl Into<Model>, cloud: impl Into<Model>, link: Link) -> Self {
        Self {
            edge: edge.into(),
            cloud: cloud.into(),
            link,
            data: Source::teacher(12_000),
            thresholds: vec![0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0],
            steps: 500,
            seed: 0,
            servers: None,
        }
    }

    /// The data that both learn from. The models' inputs must fit its columns.
    pub fn data(mut self, data: Source) -> Self {
        self.data = data;
        self
    }

    /// The confidences below which a row goes to the cloud: 0 for none, 1 for all but the surest.
    pub fn thresholds(mut self, thresholds: impl IntoIterator<Item = f64>) -> Self {
        self.thresholds = thresholds.into_iter().collect();
        self
    }

    /// Training steps of 64 rows for each model.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The seed of the weights and the split.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Asks two prediction servers, such as `127.0.0.1:34567`, which must serve the two models; what was trained is put in
    /// place there. The link stands in front of the cloud's.
    pub fn over(mut self, edge_address: &str, cloud_address: &str) -> Self {
        self.servers = Some((edge_address.to_string(), cloud_address.to_string()));
        self
    }

    /// Trains both models, times them row by row, sends rows over the emulated link, and tries the thresholds.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for models that are the same, thresholds outside 0 to 1, rows that don't fit, or a link
    /// that can't be emulated; [`Error::Service`] when a server does not answer; [`Error::Interrupted`].
    pub fn run(&self) -> Result<CascadeRun> {
        self.validate()?;
        let data = self.data.load(self.seed)?;
        let mut progress = Progress::new("cascade", Some(3));
        let train = |model: Model| {
            // One row at a time is what a processor does best, on both sides.
            let training = Training::new(model).steps(self.steps).evaluate_every(self.steps).seed(self.seed);
            training.device(Device::Cpu).trained(&data, None)
        };
        let (at_edge, in_cloud) = self.servers.as_ref().map(|(edge, cloud)| (edge.as_str(), cloud.as_str())).unzip();
        let edge = InService::put(train(self.edge)?, at_edge)?;
        let cloud = InService::put(train(self.cloud)?, in_cloud)?;
        progress.advance(1);
        let rows = self.rows(&edge, &cloud, &data.held_out)?;
        progress.advance(1);
        let round_trips = self.round_trips(&cloud, &data.held_out)?;
        progress.advance(1);
        let points = self.thresholds.iter().map(|threshold| CascadePoint::new(*threshold, &rows, &round_trips));
        Ok(CascadeRun {
            points: points.collect(),
            rows,
            round_trips,
            machine: Machine::detect(),
            cascade: self.clone(),
        })
    }

    fn validate(&self) -> Result<()> {
        self.link.can_be_emulated()?;
        if self.edge == self.cloud {
            return Err(Error::NothingVaried(format!(
                "edge and cloud both have {}, so asking the cloud changes nothing; give the cloud a larger model",
                self.edge
            )));
        }
        match self.thresholds.iter().find(|threshold| !(0.0..=1.0).contains(*threshold)) {
            Some(wrong) => Err(Error::invalid(format!(
                "{wrong} is no confidence to ask for; probabilities go from 0 to 1, such as 0.8"
            ))),
            None if self.thresholds.is_empty() => {
                Err(Error::invalid("there are 0 thresholds to try; give at least one, such as 0.8"))
            }
            None => Ok(()),
        }
    }

    /// What both models say to each row, and how long the edge takes for it alone.
    fn rows(&self, edge: &InService, cloud: &InService, data: &Dataset) -> Result<Vec<CascadeRow>> {
        let features: Vec<f32> = (0..data.rows()).flat_map(|row| data.row(row)).copied().collect();
        let (at_edge, in_cloud) = (edge.answers(&features, CHUNK)?, cloud.answers(&features, CHUNK)?);
        let core = machine::core_pool(0)?;
        core.install(|| {
            for row in 0..WARM_UPS.min(data.rows()) {
                edge.answers(data.row(row), 1)?;
            }
            let all = at_edge.into_iter().zip(in_cloud).enumerate();
            all.map(|(row, (edge_says, cloud_says))| {
                check_interrupt()?;
                let start = Instant::now();
                edge.answers(data.row(row), 1)?;
                Ok(CascadeRow {
                    edge_seconds: start.elapsed().as_secs_f64(),
                    confidence: f64::from(edge_says.confidence),
                    edge_right: edge_says.class == data.labels()[row],
                    cloud_right: cloud_says.class == data.labels()[row],
                })
            })
            .collect()
        })
    }

    /// Seconds from sending a row to having its answer: real numbers over the emulated link, and the cloud's inference.
    fn round_trips(&self, cloud: &InService, data: &Dataset) -> Result<Vec<f64>> {
        let trips = Team::new(2)?.over(&self.link)?.run(|mut worker| {
            let mut seconds = Vec::with_capacity(ROUND_TRIPS);
            for row in 0..WARM_UPS.min(data.rows()) {
                cloud.answers(data.row(row), 1)?;
            }
            for row in (0..data.rows()).cycle().take(ROUND_TRIPS) {
                check_interrupt()?;
                let mut question = if worker.rank() == 0 { data.row(row).to_vec() } else { vec![0.0; data.columns()] };
                let start = Instant::now();
                worker.broadcast(&mut question, 0)?;
                // A class and its probability.
                let mut answer = [0.0; 2];
                if worker.rank() == 1 {
                    answer =
                        cloud.answers(&question, 1)?.first().map_or(answer, |one| [one.class as f32, one.confidence]);
                }
                worker.broadcast(&mut answer, 1)?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            Ok(seconds)
        })?;
        Ok(trips.into_iter().next().unwrap_or_default())
    }
}
