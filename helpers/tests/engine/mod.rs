//! Models, training, communication and the experiments.

mod architectures;
mod bad_input;
mod checkpoint;
mod collectives;
mod data;
mod data_parallel;
mod fresh_process;
mod gradients_agree;
mod killed;
mod learning;
mod link;
mod messages;
mod mistakes;
mod optimiser;
mod own_file;
mod pytorch;
mod replay;
mod scaling_run;
mod sharing;
mod team;
mod team_failures;
mod text;

use onramp::prelude::*;

/// The text of the error that this must end with.
fn complaint<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}

/// A prediction in times, for experiments that want one.
fn guess() -> Prediction {
    predict("How many times one worker's throughput?", times(4.0)).unwrap()
}
