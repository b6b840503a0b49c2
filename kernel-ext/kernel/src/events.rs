//! What the relay tells the kernel, one JSON object a line, in the order in which it happened.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Something that a running cell did.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Text on standard output, as it came.
    Stdout(String),
    /// Text on standard error, as it came.
    Stderr(String),
    /// A rich output: content by mime type, and its metadata.
    Display {
        /// Content by mime type.
        data: Map<String, Value>,
        /// Metadata by mime type.
        metadata: Map<String, Value>,
    },
    /// The value of the cell's last expression, as text.
    Value(String),
    /// A panic was reported by the runtime's hook; it may still be caught.
    Panicked(Panic),
    /// The cell ended by a panic: the last one reported on its main thread.
    EndedByPanic,
    /// The cell ended through `?`.
    EndedByError(UserError),
    /// The process that runs cells is gone.
    Exited(Exit),
    /// Answer to [`Command::Sync`]: everything before it has been told.
    Synced(u64),
}

/// A panic, as the hook in the runtime saw it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Panic {
    /// What was passed to `panic!`.
    pub message: String,
    /// Where, innermost first: the panic's own place, then its callers'.
    pub frames: Vec<Frame>,
    /// Name of the thread when it is not the one that runs cells.
    pub thread: Option<String>,
}

/// A place in source code.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Frame {
    /// Function, as the backtrace names it; empty for the panic's own place.
    pub function: String,
    /// Source file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// An error that left a cell through `?`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct UserError {
    /// Its `Display` text (or `Debug`, after `:efmt`).
    pub message: String,
    /// Line of the `?` in the compiled source, from 1.
    pub line: Option<usize>,
}

/// How the process that runs cells ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Ended on request.
    Interrupted,
    /// It closed its standard output, so that nothing more can be heard from it.
    ClosedStdout,
}

/// What the kernel asks of the relay.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Answer with [`Event::Synced`].
    Sync(u64),
    /// End the process that runs cells, and everything it started.
    Interrupt,
}
