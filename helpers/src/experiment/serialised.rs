//! Experiments and results as values that can be stored and sent.

use serde::{Deserialize, Serialize};

use super::{
    AllReduceBandwidth, AllReduceBandwidthRun, DataParallel, InferenceTime, InferenceTimeRun, ScalingRun, SideBySide,
    SideBySideRun, StepRoofline, StepRooflineRun, StepTime, StepTimeRun, TimeToLoss, TimeToLossRun, WrongParallelism,
    WrongParallelismRun,
};
use crate::error::Result;
use crate::judgement::Prediction;
use crate::load::{Capacity, CapacityRun, Load, LoadRun};
use crate::serving::{
    Burst, BurstRun, Cascade, CascadeRun, Chain, ChainRun, Feedback, FeedbackRun, NeighbourSearch, ScalingReplay,
    ScalingReplayRun, SearchRun, Stages, StagesRun,
};
use crate::sharing::{SharedRun, SharedTraining};
use crate::storage::{Scan, ScanRun, WriteTable, WriteTableRun};
use crate::training::{Training, TrainingRun};

/// Any experiment, with the prediction or earlier result that it needs.
///
/// ```
/// use onramp::prelude::*;
///
/// let guess = predict("How many times one worker's throughput do 8 workers have?", times(4.0))?;
/// let experiment = Experiment::DataParallel(DataParallel::new(Mlp::new(256)), guess);
/// let text = experiment.to_json()?;
/// assert_eq!(Experiment::from_json(&text)?, experiment);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Experiment {
    /// Throughput of p workers.
    DataParallel(DataParallel, Prediction),
    /// Time of p workers to the same loss.
    TimeToLoss(TimeToLoss, Prediction),
    /// Three mistakes beside the right way.
    WrongParallelism(WrongParallelism, Prediction),
    /// Plain training on one worker.
    Train(Training),
    /// Training shared by several workers.
    TrainShared(SharedTraining),
    /// The time of a training step.
    StepTime(StepTime),
    /// The time of a model's answers.
    InferenceTime(InferenceTime),
    /// Training steps below the roof.
    StepRoofline(StepRoofline),
    /// Workers that share a machine.
    SideBySide(SideBySide),
    /// An all-reduce beside a copy.
    AllReduceBandwidth(AllReduceBandwidth),
    /// Writing a table.
    WriteTable(WriteTable),
    /// Reading a table.
    Scan(Scan),
    /// Requests to a service.
    Load(Load),
    /// The highest rate that a service takes.
    Capacity(Capacity),
    /// A served model in a world that changes.
    Feedback(Feedback),
    /// A small model that asks a large one.
    Cascade(Cascade),
    /// A burst of requests at a cascade that has run.
    Burst(Burst, CascadeRun),
    /// Searches of growing tables.
    NeighbourSearch(NeighbourSearch),
    /// Rows through the stages of a service.
    Stages(Stages),
    /// Calls through chains of hops.
    Chain(Chain),
    /// Rules of scaling, replayed.
    ScalingReplay(ScalingReplay),
}

/// The result of an [`Experiment`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Throughput of p workers.
    DataParallel(ScalingRun),
    /// Time of p workers to the same loss.
    TimeToLoss(TimeToLossRun),
    /// Three mistakes beside the right way.
    WrongParallelism(WrongParallelismRun),
    /// Plain training on one worker.
    Train(TrainingRun),
    /// Training shared by several workers.
    TrainShared(SharedRun),
    /// The time of a training step.
    StepTime(StepTimeRun),
    /// The time of a model's answers.
    InferenceTime(InferenceTimeRun),
    /// Training steps below the roof.
    StepRoofline(StepRooflineRun),
    /// Workers that share a machine.
    SideBySide(SideBySideRun),
    /// An all-reduce beside a copy.
    AllReduceBandwidth(AllReduceBandwidthRun),
    /// Writing a table.
    WriteTable(WriteTableRun),
    /// Reading a table.
    Scan(ScanRun),
    /// Requests to a service.
    Load(LoadRun),
    /// The highest rate that a service takes.
    Capacity(CapacityRun),
    /// A served model in a world that changes.
    Feedback(FeedbackRun),
    /// A small model that asks a large one.
    Cascade(CascadeRun),
    /// A burst of requests at a cascade that has run.
    Burst(BurstRun),
    /// Searches of growing tables.
    NeighbourSearch(SearchRun),
    /// Rows through the stages of a service.
    Stages(StagesRun),
    /// Calls through chains of hops.
    Chain(ChainRun),
    /// Rules of scaling, replayed.
    ScalingReplay(ScalingReplayRun),
}

impl Experiment {
    /// Runs the experiment in this process.
    ///
    /// # Errors
    /// Whatever the experiment returns.
    pub fn run(&self) -> Result<Outcome> {
        Ok(match self {
            Self::DataParallel(experiment, prediction) => Outcome::DataParallel(experiment.run(prediction)?),
            Self::TimeToLoss(experiment, prediction) => Outcome::TimeToLoss(experiment.run(prediction)?),
            Self::WrongParallelism(experiment, prediction) => Outcome::WrongParallelism(experiment.run(prediction)?),
            Self::Train(training) => Outcome::Train(training.run()?),
            Self::TrainShared(training) => Outcome::TrainShared(training.run()?),
            Self::StepTime(experiment) => Outcome::StepTime(experiment.run()?),
            Self::InferenceTime(experiment) => Outcome::InferenceTime(experiment.run()?),
            Self::StepRoofline(experiment) => Outcome::StepRoofline(experiment.run()?),
            Self::SideBySide(experiment) => Outcome::SideBySide(experiment.run()?),
            Self::AllReduceBandwidth(experiment) => Outcome::AllReduceBandwidth(experiment.run()?),
            Self::WriteTable(experiment) => Outcome::WriteTable(experiment.run()?),
            Self::Scan(scan) => Outcome::Scan(scan.run()?),
            Self::Load(load) => Outcome::Load(load.run()?),
            Self::Capacity(capacity) => Outcome::Capacity(capacity.run()?),
            Self::Feedback(feedback) => Outcome::Feedback(feedback.run()?),
            Self::Cascade(cascade) => Outcome::Cascade(cascade.run()?),
            Self::Burst(burst, cascade) => Outcome::Burst(burst.run(cascade)?),
            Self::NeighbourSearch(search) => Outcome::NeighbourSearch(search.run()?),
            Self::Stages(stages) => Outcome::Stages(stages.run()?),
            Self::Chain(chain) => Outcome::Chain(chain.run()?),
            Self::ScalingReplay(replay) => Outcome::ScalingReplay(replay.run()?),
        })
    }

    /// The experiment as one line of JSON.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] when a number in it has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        to_json(self)
    }

    /// Reads an experiment from JSON.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] with the place of the mistake.
    pub fn from_json(text: &str) -> Result<Self> {
        from_json(text, "an experiment")
    }
}

impl Outcome {
    /// The result as one line of JSON.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] when a number in it has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        to_json(self)
    }

    /// Reads a result from JSON.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] with the place of the mistake.
    pub fn from_json(text: &str) -> Result<Self> {
        from_json(text, "a result")
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|cause| crate::Error::invalid(format!("this can't be written as JSON: {cause}")))
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|cause| {
        crate::Error::invalid(format!(
            "this is not {what} in JSON: {cause}; make it with to_json() of this version of onramp"
        ))
    })
}
