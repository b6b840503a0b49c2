//! A burst of requests at the edge that overflows into the cloud, on a virtual clock.
//!
//! Edge and cloud are each one queue in front of one server that takes 1 / (requests per second) for each, and hold so many
//! requests at most:
//!
//! ```text
//! request -> edge has room?  yes: the edge answers; below the threshold the row also goes to the cloud
//!                            no:  the row goes to the cloud at once
//! cloud has room?            no:  what the edge answered keeps that answer, what came past the edge is shed
//! ```
//!
//! The control is the same without a cloud: what finds the edge full is shed. Arrivals are those of a [`RequestLog`], answers
//! those of a [`CascadeRun`], in turn; the times are replayed.

use serde::{Deserialize, Serialize};

use super::cascade_run::{CascadeRow, CascadeRun};
use crate::communication::Link;
use crate::data::{Arrivals, RequestLog};
use crate::display::{Table, significant};
use crate::error::{Error, Result};
use crate::figure::Figure;
use crate::measure::share::{percentile, share};
use crate::measure::{Estimate, Provenance};
use crate::model::Architecture;

/// Bytes of an answer: a class and its probability.
const ANSWER_BYTES: f64 = 8.0;
/// Points of the figure, over the time of the log.
const SLICES: usize = 60;

/// A description of arrivals at a cascade whose two sides can be full.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    requests: usize,
    arrivals: Arrivals,
    threshold: f64,
    edge_per_second: f64,
    cloud_per_second: f64,
    room: usize,
    seed: u64,
}

/// Who gave the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// The edge, sure enough.
    Edge,
    /// The edge, which was not sure, but the cloud was full.
    EdgeForWantOfCloud,
    /// The cloud, asked by an edge that was not sure.
    Cloud,
    /// The cloud, because the edge was full.
    CloudForWantOfEdge,
    /// Nobody: it was shed.
    Nobody,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fate {
    /// When it came, in seconds since the start.
    pub arrived: f64,
    /// Who answered.
    pub answered: Answered,
    /// Seconds from its arrival to the answer; 0 when there was none.
    pub seconds: f64,
    /// Whether the answer was right.
    pub right: bool,
}

/// The result of [`Burst::run`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BurstRun {
    /// What was run.
    pub burst: Burst,
    /// What became of each request with the cloud, in the order of arrival.
    pub with_cloud: Vec<Fate>,
    /// What became of it without.
    pub edge_alone: Vec<Fate>,
}

impl Burst {
    /// So many requests at an edge of 100 and a cloud of 200 requests per second that each hold 20 at most, with a threshold
    /// of 0.6.
    pub fn new(requests: usize, arrivals: Arrivals) -> Self {
        Self { requests, arrivals, threshold: 0.6, edge_per_second: 100.0, cloud_per_second: 200.0, room: 20, seed: 0 }
    }

    /// The confidence below which the edge asks the cloud.
    pub fn threshold(mut self, confidence: f64) -> Self {
        self.threshold = confidence;
        self
    }

    /// Requests per second that the edge can do.
    pub fn edge_per_second(mut self, requests: f64) -> Self {
        self.edge_per_second = requests;
        self
    }

    /// Requests per second that the cloud can do.
    pub fn cloud_per_second(mut self, requests: f64) -> Self {
        self.cloud_per_second = requests;
        self
    }

    /// Requests that each side holds at most, with the one that is being answered.
    pub fn room(mut self, requests: usize) -> Self {
        self.room = requests;
        self
    }

    /// The seed of the arrivals.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Replays the log over the rows of `cascade`, with and without its cloud.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for rates that are not above 0, no room, a threshold outside 0 to 1, or arrivals that make no
    /// sense.
    pub fn run(&self, cascade: &CascadeRun) -> Result<BurstRun> {
        let rates = [self.edge_per_second, self.cloud_per_second];
        if rates.iter().any(|rate| !(rate.is_finite() && *rate > 0.0)) || self.room == 0 {
            return Err(Error::invalid(format!(
                "an edge of {} and a cloud of {} requests per second with room for {} can't be replayed; all must be above 0",
                self.edge_per_second, self.cloud_per_second, self.room
            )));
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(Error::invalid(format!(
                "{} is no confidence to ask for; probabilities go from 0 to 1, such as 0.6",
                self.threshold
            )));
        }
        let log = RequestLog::new(self.requests, self.arrivals).features(0).seed(self.seed).generate()?;
        let arrivals: Vec<f64> = log.iter().map(|request| request.seconds).collect();
        let link = &cascade.cascade.link;
        let question_bytes = (size_of::<f32>() * cascade.cascade.edge.columns()) as f64;
        Ok(BurstRun {
            burst: *self,
            with_cloud: self.replay(&arrivals, &cascade.rows, Some((link, question_bytes))),
            edge_alone: self.replay(&arrivals, &cascade.rows, None),
        })
    }

    /// The edge first, because nothing that the cloud does reaches it; then the cloud, in the order in which it is asked.
    fn replay(&self, arrivals: &[f64], rows: &[CascadeRow], cloud: Option<(&Link, f64)>) -> Vec<Fate> {
        let mut edge = Queue::new(1.0 / self.edge_per_second, self.room);
        let row = |request: usize| &rows[request % rows.len()];
        let mut asked = Vec::new();
        let mut fates = Vec::with_capacity(arrivals.len());
        for (request, &arrived) in arrivals.iter().enumerate() {
            let done = edge.take(arrived);
            fates.push(match done {
                Some(done) => {
                    let right = row(request).edge_right;
                    Fate { arrived, answered: Answered::Edge, seconds: done - arrived, right }
                }
                None => Fate { arrived, answered: Answered::Nobody, seconds: 0.0, right: false },
            });
            if done.is_none() || row(request).confidence < self.threshold {
                asked.push((done.unwrap_or(arrived), request));
            }
        }
        let Some((link, question_bytes)) = cloud else { return fates };
        asked.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut server = Queue::new(1.0 / self.cloud_per_second, self.room);
        let (there, back) = (link.seconds(question_bytes), link.seconds(ANSWER_BYTES));
        for (sent, request) in asked {
            let fate = &mut fates[request];
            let past_the_edge = fate.answered == Answered::Nobody;
            match server.take(sent + there) {
                Some(done) => {
                    fate.answered = if past_the_edge { Answered::CloudForWantOfEdge } else { Answered::Cloud };
                    fate.seconds = done + back - fate.arrived;
                    fate.right = row(request).cloud_right;
                }
                // The refusal comes back over the link too.
                None if !past_the_edge => {
                    fate.answered = Answered::EdgeForWantOfCloud;
                    fate.seconds = sent + there + back - fate.arrived;
                }
                None => {}
            }
        }
        fates
    }
}

/// One server with a fixed time for each request, and room for so many.
struct Queue {
    service: f64,
    /// When each request that is still there will be done, the earliest first.
    there: std::collections::VecDeque<f64>,
    room: usize,
}

impl Queue {
    fn new(service: f64, room: usize) -> Self {
        Self { service, there: std::collections::VecDeque::with_capacity(room), room }
    }

    /// When a request that comes `now` will be done; None when there is no room. Times must not fall from call to call.
    fn take(&mut self, now: f64) -> Option<f64> {
        while self.there.front().is_some_and(|done| *done <= now) {
            self.there.pop_front();
        }
        if self.there.len() == self.room {
            return None;
        }
        let done = self.there.back().copied().unwrap_or(now) + self.service;
        self.there.push_back(done);
        Some(done)
    }
}

impl BurstRun {
    /// The share of requests that were answered this way, with the cloud or without.
    pub fn share_of(&self, answered: Answered, cloud: bool) -> f64 {
        let fates = self.fates(cloud);
        fates.iter().filter(|fate| fate.answered == answered).count() as f64 / fates.len() as f64
    }

    /// The share of all requests that got a right answer: a shed one has none.
    ///
    /// # Errors
    /// None in practice: there is at least one request.
    pub fn right(&self, cloud: bool) -> Result<Estimate> {
        let fates = self.fates(cloud);
        share(fates.iter().filter(|fate| fate.right).count(), fates.len())
            .ok_or_else(|| Error::TooFewPoints("this run has 0 requests; run it again".into()))
    }

    /// Mean and 99th percentile of the seconds to an answer, over the requests that got one. NaN when none did.
    pub fn seconds(&self, cloud: bool) -> (f64, f64) {
        let answered = self.fates(cloud).iter().filter(|fate| fate.answered != Answered::Nobody);
        let mut seconds: Vec<f64> = answered.map(|fate| fate.seconds).collect();
        (seconds.iter().sum::<f64>() / seconds.len() as f64, percentile(&mut seconds, 0.99))
    }

    fn fates(&self, cloud: bool) -> &[Fate] {
        if cloud { &self.with_cloud } else { &self.edge_alone }
    }

    /// Both ways in a few lines.
    pub fn table(&self) -> Table {
        let percent = |name: &str, answered: Answered| {
            let [alone, with] = [false, true].map(|cloud| significant(100.0 * self.share_of(answered, cloud)));
            [name.to_string(), alone, with]
        };
        let table = Table::new("A burst at the edge", ["", "the edge alone", "with the cloud"])
            .row(percent("answered at the edge, %", Answered::Edge))
            .row(percent("by the cloud, because the edge was not sure, %", Answered::Cloud))
            .row(percent("by the cloud, because the edge was full, %", Answered::CloudForWantOfEdge))
            .row(percent("at the edge, because the cloud was full, %", Answered::EdgeForWantOfCloud))
            .row(percent("shed, %", Answered::Nobody));
        let right = |cloud| self.right(cloud).map_or(String::new(), |right| significant(100.0 * right.median));
        let ((mean_alone, p99_alone), (mean_with, p99_with)) = (self.seconds(false), self.seconds(true));
        let ms = |seconds: f64| significant(1e3 * seconds);
        table
            .row(["right answers, % of all requests".to_string(), right(false), right(true)])
            .row(["mean, ms".to_string(), ms(mean_alone), ms(mean_with)])
            .row(["p99, ms".to_string(), ms(p99_alone), ms(p99_with)])
            .note(format!(
                "{} requests; the edge does {} and the cloud {} per second, each holds {} at most; threshold {}.",
                self.burst.requests,
                significant(self.burst.edge_per_second),
                significant(self.burst.cloud_per_second),
                self.burst.room,
                self.burst.threshold
            ))
            .note(format!("All times are {} ({}).", Provenance::Replayed, "arrivals and queues on a virtual clock"))
    }

    /// Requests that came, and those shed, per second over the time of the log.
    ///
    /// # Errors
    /// None in practice: all numbers are finite.
    pub fn figure(&self) -> Result<Figure> {
        let end = self.with_cloud.last().map_or(1.0, |fate| fate.arrived);
        let slice = end / SLICES as f64;
        let rate = |fates: &[Fate], counts: fn(&Fate) -> bool| -> Vec<f64> {
            let mut counted = vec![0.0; SLICES];
            for fate in fates.iter().filter(|fate| counts(fate)) {
                counted[((fate.arrived / slice) as usize).min(SLICES - 1)] += 1.0 / slice;
            }
            counted
        };
        let middles: Vec<f64> = (0..SLICES).map(|place| (place as f64 + 0.5) * slice).collect();
        let shed = |fate: &Fate| fate.answered == Answered::Nobody;
        Figure::new("A burst at the edge (replayed)")
            .x_label("seconds")
            .y_label("requests per second")
            .line("came", &middles, &rate(&self.with_cloud, |_| true))?
            .line("shed by the edge alone", &middles, &rate(&self.edge_alone, shed))?
            .line("shed with the cloud", &middles, &rate(&self.with_cloud, shed))
    }

    /// Shows table and figure below the cell.
    pub fn evcxr_display(&self) {
        self.table().evcxr_display();
        if let Ok(figure) = self.figure() {
            figure.evcxr_display();
        }
    }
}
