//! The lines by which evcxr's generated code, and ours, speak on standard output.

/// Every marker begins so.
pub const PREFIX: &[u8] = b"EVCXR_";
/// The cell has run.
pub const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
/// The cell ended by a panic.
pub const ENDED_BY_PANIC: &str = "EVCXR_PANIC_NOTIFICATION";
/// The cell ended through `?`.
pub const ENDED_BY_ERROR: &str = "EVCXR_ERROR_OCCURRED";
/// A stored variable no longer has the type that it was stored with.
pub const CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// The cell asks for a line of input (and the same with `_PASSWORD`).
pub const INPUT: &str = "EVCXR_INPUT_REQUEST";
/// Begins a rich output, followed by its mime type.
pub const BEGIN: &str = "EVCXR_BEGIN_CONTENT ";
/// Ends a rich output, on a line of its own.
pub const END: &[u8] = b"\nEVCXR_END_CONTENT\n";
/// Begins the value of the cell's last expression, as text; ended as a rich output is.
pub const BEGIN_VALUE: &str = "EVCXR_BEGIN_VALUE";
/// Begins the message of an error that left the cell through `?`; ended as a rich output is. The compiled
/// source's line follows.
pub const BEGIN_ERROR: &str = "EVCXR_BEGIN_USER_ERROR ";
/// A panic, as JSON.
pub const PANICKED: &str = "EVCXR_PANICKED ";
/// Mime type of the request to clear what the cell has shown: `{"wait": true}`.
pub const CLEAR: &str = "application/vnd.onramp.clear+json";
/// Mime type of a whole bundle: `{"data": {mime: content}, "metadata": {}, "id": null, "update": false}`, of which all
/// but the first may be left out. One with an id can be updated by a later one of the same or another cell.
pub const BUNDLE: &str = "application/vnd.onramp.bundle+json";
