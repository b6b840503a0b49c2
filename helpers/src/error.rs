//! The one error type of this crate.
//!
//! Its text is what a learner reads below a cell that ended with `?`: what was wrong, with the value,
//! and what to do next. There is a variant wherever a caller acts differently on it.

use std::path::{Path, PathBuf};

/// Anything that can go wrong in a cell's call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument has a value that the call can't work with. The text names the value and a better one.
    #[error("{0}")]
    InvalidInput(String),

    /// The baseline and the treatment of an experiment are identical, so it could only show noise.
    #[error("nothing was varied: {0}")]
    NothingVaried(String),

    /// A law has more parameters than the points can determine.
    #[error("too few points: {0}")]
    TooFewPoints(String),

    /// A data file is missing, damaged, or not what its checksum promises.
    #[error("the data file {} {reason}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and how to repair it; continues the sentence "the data file … ".
        reason: String,
    },

    /// The device that was asked for is not there, or this build can't use it.
    #[error("{0}")]
    Device(String),

    /// The operating system refused to read, write or start something.
    #[error("{action}: {source}")]
    Io {
        /// What was being done, naming the file or program.
        action: String,
        /// The operating system's answer.
        source: std::io::Error,
    },

    /// A tensor operation failed.
    #[error("a tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),

    /// A worker stopped, panicked or did not answer, so the run could not go on.
    #[error("{0}")]
    Worker(String),

    /// A service did not answer, or answered that it could not do what it was asked for.
    #[error("{0}")]
    Service(String),

    /// The run was stopped on request.
    #[error("interrupted: the run was stopped before it had a result; run the cell again to start over")]
    Interrupted,
}

impl Error {
    /// An [`Error::InvalidInput`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::InvalidInput(text.into())
    }

    /// An [`Error::Io`] that says what was being done.
    pub fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { action: action.into(), source }
    }

    /// An [`Error::Data`] about `path`; `reason` continues the sentence "the data file … ".
    pub fn data(path: &Path, reason: impl Into<String>) -> Self {
        Self::Data { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// What a call that can fail returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
