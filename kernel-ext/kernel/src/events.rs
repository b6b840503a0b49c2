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
    /// A rich output.
    Display(Display),
    /// What the cell has shown so far is to go: at once, or when the next output comes.
    Clear {
        /// Whether to wait for the next output, so that nothing flickers.
        wait: bool,
    },
    /// The value of the cell's last expression, as text.
    Value(String),
    /// A panic was reported by the runtime's hook; it may still be caught.
    Panicked(Panic),
    /// The cell ended by a panic: the last one reported on its main thread.
    EndedByPanic,
    /// The cell ended through `?`.
    EndedByError(UserError),
    /// The compiled cell was run, to its end or until its process ended.
    Ran(Spent),
    /// The process that runs cells is gone.
    Exited(Exit),
    /// Answer to [`Command::Sync`]: everything before it has been told.
    Synced(u64),
}

/// A rich output: one object in several forms.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Display {
    /// Content by mime type.
    pub data: Map<String, Value>,
    /// Metadata by mime type.
    pub metadata: Map<String, Value>,
    /// By which a later one can take its place.
    pub id: Option<String>,
    /// Whether it takes the place of the one with the same id.
    pub update: bool,
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

/// What it took to run a compiled cell. A cell that is compiled again because of a variable runs once.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq)]
pub struct Spent {
    /// Wall-clock time, in seconds.
    pub seconds: f64,
    /// Most memory that the process held meanwhile, variables of earlier cells included, in bytes; none where the
    /// system does not tell.
    pub peak_bytes: Option<u64>,
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
    /// End the process that runs cells, and everything it started, if a cell is running in it.
    End,
}
