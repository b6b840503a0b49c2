//! Three changes to the source that evcxr generates: an error that leaves a cell through `?` says where it did, the value
//! of a last expression says that it is one, and the module that keeps variables is left out, because it is a crate that
//! is compiled already (`cell_runtime/`).

use crate::relay::markers;
use anyhow::Result;
use sha2::{Digest, Sha256};
use std::path::Path;

/// What evcxr generates, for each of its error formats.
const GENERATED: [(&str, &str); 3] = [
    ("eprintln!(\"{}\", error);", "{}"),
    ("eprintln!(\"{:?}\", error);", "{:?}"),
    ("eprintln!(\"{:#?}\", error);", "{:#?}"),
];
const SIGNATURE: &str = "fn from(error: T) -> Self {";
/// The function by which evcxr shows a value that does not display itself, and what it begins with.
const SEND_VALUE: (&str, &str) = ("fn evcxr_send_text_plain", "EVCXR_BEGIN_CONTENT text/plain");

/// The module that keeps variables, in every cell that has any: its name, its length in bytes and its SHA-256 in evcxr 0.22.
/// Another one is left where it is.
pub const VARIABLES: &str = "evcxr_internal_runtime";
const MODULE_BYTES: usize = 2674;
const MODULE_HASH: &str = "cfb72137e085a2550de65dade98bc536462df4b9b535bd57b44e837010eb4251";

/// Rewrites the cell's source below `folder`; every line keeps its number. With `compiled`, cells find the module that
/// keeps variables as a crate.
pub fn rewrite(folder: &Path, compiled: bool) -> Result<()> {
    let path = folder.join("src/lib.rs");
    let source = std::fs::read_to_string(&path)?;
    let mut changed = source.clone();
    changed = mark_errors(&changed).unwrap_or(changed);
    changed = mark_values(&changed).unwrap_or(changed);
    if compiled {
        changed = leave_out_module(&changed).unwrap_or(changed);
    }
    if changed != source {
        std::fs::write(path, changed)?;
    }
    Ok(())
}

/// Its lines stay, empty.
fn leave_out_module(source: &str) -> Option<String> {
    let at = source.find(&format!("mod {VARIABLES} {{\n"))?;
    let module = source.get(at..at + MODULE_BYTES)?;
    let known = format!("{:x}", Sha256::digest(module)) == MODULE_HASH;
    known.then(|| source.replacen(module, &"\n".repeat(module.matches('\n').count()), 1))
}

fn mark_values(source: &str) -> Option<String> {
    let at = source.find(SEND_VALUE.0)?;
    let (before, after) = source.split_at(at);
    Some(format!("{before}{}", after.replacen(SEND_VALUE.1, markers::BEGIN_VALUE, 1)))
}

/// The caller of `from`, followed through the standard library's own tracking, is the `?` in the cell. The message
/// goes the same way as everything else that a cell says of itself, in order with what it printed.
fn mark_errors(source: &str) -> Option<String> {
    // With analysis only, nothing is printed, so there is nothing to change.
    let (_, generated) = source.split_once("struct EvcxrUserCodeError")?;
    let (old, format) = GENERATED.iter().find(|(old, _)| generated.contains(old))?;
    let new = format!(
        "println!(\"{}{{}}\\n{format}\\nEVCXR_END_CONTENT\", std::panic::Location::caller().line(), error);",
        markers::BEGIN_ERROR
    );
    Some(source.replacen(old, &new, 1).replacen(SIGNATURE, &format!("#[track_caller] {SIGNATURE}"), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_goes_to_standard_output_and_lines_keep_their_numbers() {
        let source = "let a = 1;\nstruct EvcxrUserCodeError {}\nimpl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {\n  \
                      fn from(error: T) -> Self {\n    eprintln!(\"{}\", error);\n  }\n}\n";
        let changed = mark_errors(source).unwrap();
        assert_eq!(changed.lines().count(), source.lines().count());
        assert!(changed.contains("#[track_caller] fn from(error: T)"));
        assert!(changed.contains("println!(\"EVCXR_BEGIN_USER_ERROR {}\\n{}\\nEVCXR_END_CONTENT\""));
        assert!(!changed.contains("eprintln"));
    }

    #[test]
    fn a_value_is_marked_in_the_generated_function_only() {
        let source = "let a = \"EVCXR_BEGIN_CONTENT text/plain\";\nfn evcxr_send_text_plain() {w(b\"EVCXR_BEGIN_CONTENT text/plain\\n\")}";
        let changed = mark_values(source).unwrap();
        assert!(changed.starts_with("let a = \"EVCXR_BEGIN_CONTENT text/plain\";"));
        assert!(changed.ends_with("{w(b\"EVCXR_BEGIN_VALUE\\n\")}"));
    }

    #[test]
    fn only_the_module_that_is_known_is_left_out() {
        assert_eq!(leave_out_module("mod evcxr_internal_runtime {\nfn another() {}\n}\n"), None);
        assert_eq!(leave_out_module("fn main() {}"), None);
    }

    #[test]
    fn a_cell_that_prints_errors_itself_is_left_alone() {
        assert_eq!(mark_errors("eprintln!(\"{}\", error);"), None);
    }
}
