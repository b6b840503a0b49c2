//! What many tests need.

use onramp::prelude::*;

/// The text of the error that this must end with.
pub fn complaint<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}

/// A prediction in times, for experiments that want one.
pub fn guess() -> Prediction {
    predict("How many times one worker's throughput?", times(4.0)).unwrap()
}
