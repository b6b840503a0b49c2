//! What a cell needs, in one line: `use onramp::prelude::*;`.

pub use crate::communication::{Algorithm, Collective, Communicator, Link, Replay, Synchronisation, Team};
pub use crate::data::{Arrivals, RequestLog, Source, Teacher, Text};
pub use crate::device::{Device, Precision};
pub use crate::display::{Progress, Shown, Table, clear_output, display, progress};
pub use crate::error::Error;
pub use crate::experiment::{
    AllReduceBandwidth, DataParallel, Experiment, Mistake, Outcome, RateRule, ScalingRun, SideBySide, StepRoofline,
    StepTime, StepTimeRun, TimeToLoss, TimeToLossRun, WrongParallelism, WrongParallelismRun, in_fresh_process,
};
pub use crate::figure::Figure;
pub use crate::interrupt::check_interrupt;
pub use crate::judgement::{
    Answer, Claim, Passed, Prediction, Reveal, Verdict, check, choice, percent, predict, rows, seconds, times,
};
pub use crate::law::{
    self, AllReduceTime, Amdahl, Fit, Gustafson, HalfEfficiency, Law, Point, PowerLaw, Roof, Roofline, Usl,
};
pub use crate::machine::Machine;
pub use crate::measure::{Estimate, Provenance};
pub use crate::model::{Architecture, Convnet, Mlp, Model, Transformer};
pub use crate::published;
pub use crate::serving::{Autoscaler, Chain, Hedge, Hop, HpaRule, ReplicaProcesses, Replicas, ScalingReplay};
pub use crate::serving::{Server, Service, ServiceProcess, ServiceTime};
pub use crate::sharing::{Compression, SharedRun, SharedTraining, Sharing};
pub use crate::storage::{Batches, Layout, Reading, Scan, Store, WriteTable};
pub use crate::training::{Checkpoint, Checkpoints, Optimiser, Training, TrainingRun};
