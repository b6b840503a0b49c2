//! What a cell that failed tells: Jupyter's ename, evalue and traceback, in words that a beginner can act on.

use crate::advice;
use crate::cell_lines::{CellLine, CellLines};
use crate::events::{Exit, Panic, UserError};
use crate::known::Known;
use crate::runtime::CELL_SOURCE;
use crate::source;
use jupyter_protocol::{ErrorOutput, ReplyError};
use std::fmt::Write;

const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const BLUE: &str = "\x1b[34m";
const OFF: &str = "\x1b[0m";
/// Codes of rustc's errors are explained here.
const EXPLANATIONS: &str = "https://doc.rust-lang.org/error_codes/";

/// The system's words for it.
const DISK_FULL: &str = "No space left on device";

/// Why a cell failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Its kind: `Panic`, `UserError`, `E0308`, `ProcessExit`, …
    pub ename: String,
    /// What happened, in one sentence or the error's own words.
    pub evalue: String,
    /// Lines for a person, with ANSI colours.
    pub traceback: Vec<String>,
}

impl Failure {
    /// A failure that has no place in a cell.
    pub fn plain(ename: &str, evalue: impl Into<String>) -> Self {
        let evalue = evalue.into();
        Self { ename: ename.into(), traceback: vec![headline(ename, &evalue)], evalue }
    }

    /// A panic: its message, its place, and the learner's functions that led to it.
    pub fn panic(panic: &Panic, cells: &CellLines, generated: &str) -> Self {
        let mut failure = Self::plain("Panic", &panic.message);
        let mut seen: Vec<CellLine> = Vec::new();
        let own = panic.frames.iter().filter(|frame| frame.file == CELL_SOURCE);
        for place in own.filter_map(|frame| cells.find(generated, frame.line)) {
            if !seen.contains(&place) {
                failure.traceback.push(frame(if seen.is_empty() { "at" } else { "called from" }, &place));
                seen.push(place);
            }
        }
        if seen.is_empty()
            && let Some(at) = panic.frames.first()
        {
            failure.traceback.push(format!("  in a library: {} line {}", at.file, at.line));
        }
        failure
    }

    /// An error that left the cell through `?`.
    pub fn user_error(error: &UserError, cells: &CellLines, generated: &str) -> Self {
        let mut failure = Self::plain("UserError", &error.message);
        let place = error.line.and_then(|line| cells.find(generated, line));
        failure.traceback.extend(place.map(|place| frame("returned by `?` at", &place)));
        failure
    }

    /// The same as the answer of a cell that was asked to stop.
    pub fn of_interrupt(self) -> Self {
        let mut failure = Self::plain("Interrupted", "the cell stopped when it was asked to; all variables are kept");
        failure.traceback.push(format!("  its last words: {}", self.evalue));
        failure.traceback.extend(self.traceback.into_iter().skip(1));
        failure
    }

    /// The process that runs cells ended, and the variables of earlier cells with it.
    pub fn exit(exit: Exit, variables: &[String]) -> Self {
        const KEPT: &str = "Functions, types, `use`s and dependencies are kept.";
        let lost = match variables {
            [] => format!("There were no variables to lose. {KEPT}"),
            [one] => format!("The variable {one} is lost: run the cell that defines it again. {KEPT}"),
            many => format!("Lost variables: {}. Run the cells that define them again. {KEPT}", many.join(", ")),
        };
        let mut failure = match exit {
            Exit::Code(code) => Self::plain("ProcessExit", format!("the cell ended its process with exit code {code}")),
            Exit::Signal(signal) => Self::plain("ProcessCrash", crash(signal)),
            Exit::Interrupted => {
                Self::plain("Interrupted", "the cell did not stop when it was asked to, so its process was ended")
            }
            Exit::ClosedStdout => {
                Self::plain("ProcessExit", "the cell closed its standard output, by which it is heard")
            }
        };
        failure.traceback.push(lost);
        failure
    }

    fn disk_full() -> Self {
        Self::plain(
            "DiskFull",
            "the disk with the folder `target` is full, so the cell could not be compiled: free some space and run it again; nothing ran, and all variables are kept",
        )
    }

    /// What evcxr could not compile or do.
    pub fn evcxr(error: &evcxr::Error, count: usize, source: &str, known: &Known) -> Self {
        match error {
            evcxr::Error::CompilationErrors(errors)
                if errors.iter().any(|error| error.rendered().contains(DISK_FULL)) =>
            {
                Self::disk_full()
            }
            evcxr::Error::CompilationErrors(errors) if !errors.is_empty() => match source::lone_bracket(source) {
                Some((at, what)) => lone_bracket(at, &what, count, source),
                None => compile(errors, count, source, known),
            },
            other if other.to_string().contains(DISK_FULL) => Self::disk_full(),
            other => Self::plain("CompileError", advice::in_plain_words(&other.to_string())),
        }
    }
}

impl From<&Failure> for ErrorOutput {
    fn from(f: &Failure) -> Self {
        Self { ename: f.ename.clone(), evalue: f.evalue.clone(), traceback: f.traceback.clone() }
    }
}

impl From<&Failure> for ReplyError {
    fn from(f: &Failure) -> Self {
        Self { ename: f.ename.clone(), evalue: f.evalue.clone(), traceback: f.traceback.clone() }
    }
}

fn headline(ename: &str, evalue: &str) -> String {
    format!("{BOLD}{RED}{ename}{OFF}{BOLD}: {evalue}{OFF}")
}

fn frame(relation: &str, place: &CellLine) -> String {
    format!("  {relation} {BLUE}cell {}, line {}{OFF}: {}", place.cell, place.line, place.text)
}

fn crash(signal: i32) -> String {
    let name = nix::sys::signal::Signal::try_from(signal).map_or("unknown signal", |s| s.as_str());
    let cause = match signal {
        libc::SIGSEGV | libc::SIGBUS => "it used memory that is not its own; in safe Rust, a stack that overflowed",
        libc::SIGABRT => "it was aborted: `abort()`, a panic while panicking, or an overflowed stack",
        libc::SIGKILL => "it was killed from outside, most often because memory ran out",
        libc::SIGILL => "it ran an instruction that this processor does not have",
        _ => "it was ended by a signal",
    };
    format!("the cell's process crashed with {name} (signal {signal}): {cause}")
}

fn lone_bracket(at: usize, what: &str, count: usize, source: &str) -> Failure {
    let mut failure = Failure::plain("CompileError", what);
    let (line, column) = place(source, at);
    failure.traceback.push(excerpt(count, source, line, column, 1));
    failure
}

/// Line and column, both from 1, of a byte.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Where it is.
fn arrow(count: usize, line: usize, column: usize) -> String {
    format!(" {BLUE}-->{OFF} cell {count}, line {line}, column {column}")
}

/// A line of the cell behind its number.
fn numbered(line: usize, width: usize, text: &str) -> String {
    format!("{BLUE}{line:>width$} |{OFF} {text}")
}

/// Marks in this colour below the columns from this one on, and what is to be said of them.
fn underline(width: usize, column: usize, marks: &str, colour: &str, label: &str) -> String {
    format!("{:>width$} {BLUE}|{OFF} {}{colour}{marks}{label}{OFF}", "", " ".repeat(column - 1))
}

/// Where it is, and the line with a mark under so many characters.
fn excerpt(count: usize, source: &str, line: usize, column: usize, marks: usize) -> String {
    let (width, text) = (line.to_string().len(), source.lines().nth(line - 1).unwrap_or_default());
    let marks = underline(width, column, &"^".repeat(marks), RED, "");
    [arrow(count, line, column), numbered(line, width, text), marks].join("\n")
}

fn compile(errors: &[evcxr::CompilationError], count: usize, source: &str, known: &Known) -> Failure {
    let first = &errors[0];
    let mut traceback: Vec<String> = Vec::new();
    for error in errors {
        let text = describe(error, count, source, known);
        if !traceback.contains(&text) {
            traceback.push(text);
        }
    }
    Failure {
        ename: first.code().unwrap_or("CompileError").into(),
        evalue: advice::in_plain_words(&first.message()),
        traceback,
    }
}

/// rustc's message, the learner's lines with a mark under what it speaks of, and its help.
fn describe(error: &evcxr::CompilationError, count: usize, source: &str, known: &Known) -> String {
    let code = error.code().map(|c| format!("[{c}]")).unwrap_or_default();
    let headline = advice::in_plain_words(&error.message());
    let mut text = format!("{BOLD}{RED}error{code}{OFF}{BOLD}: {headline}{OFF}");
    let lines: Vec<&str> = source.lines().collect();
    let mut spans: Vec<_> = error.spanned_messages().iter().filter_map(|m| Some((m, m.span?))).collect();
    spans.sort_by_key(|(message, span)| (!message.is_primary, span.start_line, span.start_column));
    if let Some((_, span)) = spans.first() {
        let _ = write!(text, "\n{}", arrow(count, span.start_line, span.start_column));
    }
    if spans.is_empty()
        && let Some((name, at)) = named(&error.message(), source)
    {
        let (line, column) = place(source, at);
        let _ = write!(text, "\n{}", excerpt(count, source, line, column, name.chars().count()));
    }
    let width = spans.iter().map(|(_, span)| span.end_line.to_string().len()).max().unwrap_or(1);
    let mut shown = None;
    for (message, span) in &spans {
        let Some(line) = lines.get(span.start_line - 1) else { continue };
        // Two marks in one line stand below the same copy of it.
        if shown.replace(span.start_line) != Some(span.start_line) {
            let _ = write!(text, "\n{}", numbered(span.start_line, width, line));
        }
        let end = if span.end_line == span.start_line { span.end_column } else { line.chars().count() + 1 };
        let marks = end.saturating_sub(span.start_column).max(1);
        let (mark, colour) = if message.is_primary { ("^", RED) } else { ("-", BLUE) };
        // A first spanned message without a label of its own repeats the headline.
        // Nobody has heard of what evcxr wraps around a cell.
        let said = message.label.ends_with(&error.message()) || message.label.contains("evcxr");
        let label = if said { String::new() } else { message.label.clone() };
        let marks = underline(width, span.start_column, &mark.repeat(marks), colour, &format!(" {label}"));
        let _ = write!(text, "\n{marks}");
    }
    let mut remark = |kind: &str, said: &str| {
        let _ = write!(text, "\n{:>width$} {BLUE}={OFF} {BOLD}{kind}{OFF}: {said}", "");
    };
    error.help().iter().for_each(|help| remark("help", &unfolded(help)));
    if let Some(hint) = error.evcxr_extra_hint() {
        remark("note", hint);
    }
    // "cannot find value `x` in this scope"
    if error.code() == Some("E0425")
        && let Some(why) = error.message().split('`').nth(1).and_then(|name| known.why_gone(name))
    {
        remark("note", &why);
    }
    if let Some(code) = error.code() {
        let _ = write!(text, "\n{:>width$} {BLUE}={OFF} {EXPLANATIONS}{code}.html", "");
    }
    text
}

/// What the message quotes and the cell contains, and its byte: for errors whose place was lost.
fn named<'a>(message: &'a str, source: &str) -> Option<(&'a str, usize)> {
    message.split('`').skip(1).step_by(2).find_map(|name| Some((name, source.find(name)?)))
}

/// A help text of several lines, without the empty ones.
fn unfolded(help: &str) -> String {
    help.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Frame;

    #[test]
    fn a_lone_bracket_is_shown_in_its_line() {
        let source = "let a = 1;\nfor i in 0..3 { f(i)";
        let (at, what) = source::lone_bracket(source).unwrap();
        let failure = lone_bracket(at, &what, 4, source);
        assert_eq!(failure.evalue, "this `{` is never closed");
        assert!(failure.traceback[1].contains("cell 4, line 2, column 15"), "{:?}", failure.traceback);
    }

    #[test]
    fn a_name_in_the_message_is_found_in_the_cell() {
        assert_eq!(
            named("unresolved import `std::collection`", "use std::collection::HashMap;"),
            Some(("std::collection", 4))
        );
        assert_eq!(named("no such `thing`", "let a = 1;"), None);
    }

    #[test]
    fn a_panic_shows_the_learners_lines_innermost_first_and_each_once() {
        let mut cells = CellLines::default();
        cells.push(1, "fn third(v: &[u8]) -> u8 {\n    v[2]\n}");
        cells.push(2, "third(&[1])");
        let generated = "fn third(v: &[u8]) -> u8 {\n    v[2]\n}\nthird(&[1])\n";
        let at = |line, file: &str| Frame { function: String::new(), file: file.into(), line };
        let frames = vec![at(2, "src/lib.rs"), at(2, "./src/lib.rs"), at(4, "src/lib.rs"), at(9, "/std/panic.rs")];
        let panic = Panic { message: "index out of bounds".into(), frames, thread: None };
        let failure = Failure::panic(&panic, &cells, generated);
        assert_eq!((failure.ename.as_str(), failure.evalue.as_str()), ("Panic", "index out of bounds"));
        assert_eq!(failure.traceback.len(), 3);
        assert!(failure.traceback[1].contains("cell 1, line 2") && failure.traceback[1].contains("v[2]"));
        assert!(failure.traceback[2].contains("called from") && failure.traceback[2].contains("cell 2, line 1"));
    }

    #[test]
    fn an_exit_names_its_code_and_a_crash_its_signal() {
        assert!(Failure::exit(Exit::Code(3), &[]).evalue.contains("exit code 3"));
        let crash = Failure::exit(Exit::Signal(libc::SIGSEGV), &["guess".into(), "run".into()]);
        assert!(crash.traceback[1].starts_with("Lost variables: guess, run."), "{:?}", crash.traceback);
        assert_eq!(crash.ename, "ProcessCrash");
        assert!(crash.evalue.contains("SIGSEGV"));
    }
}
