//! What a cell needs, in one line: `use onramp::prelude::*;`.

pub use crate::communication::{Algorithm, Collective, Communicator, Link, Replay, Synchronisation, Team};
pub use crate::data::{Arrivals, RequestLog, Source, Teacher, Text};
pub use crate::device::{Device, Precision};
pub use crate::display::{Progress, Shown, Table, clear_output, display, progress};
pub use crate::error::Error;
pub use crate::experiment::{
    AllReduceBandwidth, DataParallel, Experiment, InferenceTime, InferenceTimeRun, Mistake, Outcome, RateRule,
    ScalingRun, SideBySide, StepRoofline, StepTime, StepTimeRun, TimeToLoss, TimeToLossRun, WrongParallelism,
    WrongParallelismRun, in_fresh_process,
};
pub use crate::figure::Figure;
pub use crate::interrupt::check_interrupt;
pub use crate::judgement::{
    Answer, Claim, Passed, Prediction, Reveal, Verdict, check, choice, percent, predict, rows, seconds, times,
};
pub use crate::law::{
    self, AllReduceTime, Amdahl, BatchSeconds, CacheHits, Fit, Gustafson, HalfEfficiency, Law, Little, Point,
    PollaczekKhinchine, PowerLaw, Queue, QueueReplay, Roof, Roofline, Usl,
};
pub use crate::load::{Capacity, CapacityRun, Load, LoadRun};
pub use crate::machine::Machine;
pub use crate::measure::{Estimate, Provenance};
pub use crate::model::{Architecture, Convnet, Mlp, Model, Transformer};
pub use crate::published;
pub use crate::serving::{
    Balancer, Burst, Cache, Cascade, Deployment, DriftMonitor, Eviction, Feedback, HealthCheck, LocalRedis,
    NeighbourSearch, Policy, Program, Retrain, RunningBalancer, RunningDeployment, Server, Service, ServiceProcess,
    ServiceTime, SharedStore, Stage, Stages, State, StateServer, lost_sessions, owner_of_session,
};
pub use crate::sharing::{Compression, SharedRun, SharedTraining, Sharing};
pub use crate::storage::{Batches, Layout, Reading, Scan, ShardBy, Store, WriteTable};
pub use crate::training::{Checkpoint, Checkpoints, Optimiser, Training, TrainingRun};
