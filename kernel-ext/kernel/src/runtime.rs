//! The process that loads and runs compiled cells.
//!
//! It speaks evcxr's protocol: a line `LOAD_AND_RUN path function` on standard input loads a library and calls
//! the function with the variable store, then says so on standard output. Compared with evcxr's own loop it
//! also tells where a cell panicked, loses no text when a cell ends the process, and leaves standard input free
//! for the cell. It shares the standard library (a `.so`) with the cells, so the panic hook and the buffer of
//! standard output are theirs, too.

use crate::events::{Frame, Panic};
use crate::relay::markers;
use anyhow::{Result, bail};
use std::backtrace::Backtrace;
use std::ffi::{CStr, CString, c_int, c_void};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Text without a line's end is shown after at most this long.
const FLUSH_EVERY: Duration = Duration::from_millis(25);

/// Asks for a cell to be run; its library and its function follow.
pub const LOAD_AND_RUN: &str = "LOAD_AND_RUN";

/// Tells the folder in which cells are compiled.
pub const CELL_FOLDER: &str = "ONRAMP_CELL_FOLDER";

type Cell = extern "C" fn(*mut c_void) -> *mut c_void;

/// Runs cells until standard input ends.
pub fn run() -> Result<()> {
    std::panic::set_hook(Box::new(report_panic));
    flush_on_crash();
    std::thread::Builder::new().name("flush".into()).spawn(|| {
        loop {
            std::thread::sleep(FLUSH_EVERY);
            let _ = std::io::stdout().flush();
        }
    })?;
    let mut variables = std::ptr::null_mut();
    while let Some(line) = read_line()? {
        let mut words = line.split(' ');
        let (Some(LOAD_AND_RUN), Some(path), Some(function)) = (words.next(), words.next(), words.next()) else {
            bail!("the runtime does not know `{line}`");
        };
        let cell = load(path, function)?;
        variables = cell(variables);
        println!("{}", markers::COMPLETE);
        std::io::stdout().flush()?;
    }
    std::process::exit(0)
}

/// One line from standard input, without taking more from it or holding its lock: the rest is the cell's.
fn read_line() -> Result<Option<String>> {
    // SAFETY: the descriptor stays open, `ManuallyDrop` keeps it so.
    let mut input = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(0) });
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte[0] == b'\n' => return Ok(Some(String::from_utf8(line)?)),
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Loads a cell's library, for good: unloading it would pull code from under threads and destructors.
fn load(path: &str, function: &str) -> Result<Cell> {
    let (path, name) = (CString::new(path)?, CString::new(function)?);
    // SAFETY: evcxr compiled both for this process.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if library.is_null() {
            bail!("cannot load the compiled cell: {}", dl_error());
        }
        let symbol = libc::dlsym(library, name.as_ptr());
        if symbol.is_null() {
            bail!("cannot find `{function}` in the compiled cell: {}", dl_error());
        }
        Ok(std::mem::transmute::<*mut c_void, Cell>(symbol))
    }
}

fn dl_error() -> String {
    // SAFETY: dlerror gives null or a string that lives until the next call on this thread.
    unsafe {
        let message = libc::dlerror();
        if message.is_null() {
            "no reason given".into()
        } else {
            CStr::from_ptr(message).to_string_lossy().into_owned()
        }
    }
}

fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("(a value that is not text)").to_owned();
    let mut frames: Vec<_> = info
        .location()
        .map(|at| Frame { function: String::new(), file: at.file().into(), line: at.line() as usize })
        .into_iter()
        .collect();
    let folder = std::env::var(CELL_FOLDER).unwrap_or_default();
    frames.extend(parse_backtrace(&Backtrace::force_capture().to_string(), &folder));
    let thread = std::thread::current();
    let thread = (thread.name() != Some("main")).then(|| thread.name().unwrap_or("unnamed").to_owned());
    let panic = Panic { message, frames, thread };
    if let Ok(json) = serde_json::to_string(&panic) {
        println!("{}{json}", markers::PANICKED);
        let _ = std::io::stdout().flush();
    }
}

/// The frames of `text`, a printed [`Backtrace`], that are in a cell's source.
fn parse_backtrace(text: &str, folder: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut function = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(place) = line.strip_prefix("at ") {
            let mut parts = place.rsplitn(3, ':');
            let (_, number, file) = (parts.next(), parts.next(), parts.next());
            let number = number.and_then(|n| n.parse().ok());
            if let (Some(line), Some(file)) = (number, file)
                && is_cell(file, folder)
            {
                frames.push(Frame { function: function.clone(), file: CELL_SOURCE.into(), line });
            }
        } else if let Some((number, name)) = line.split_once(": ")
            && number.bytes().all(|b| b.is_ascii_digit())
        {
            function = name.into();
        }
    }
    frames
}

/// The source of a cell, as the compiler names it: evcxr's crate has no other file.
pub const CELL_SOURCE: &str = "src/lib.rs";

/// Whether `file`, as a backtrace names it, is the source of a cell compiled in `folder`.
fn is_cell(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).unwrap_or(file).trim_start_matches(['.', '/']) == CELL_SOURCE
}

/// The handlers of the standard library, which print the word about a stack overflow, for `SIGSEGV` and `SIGBUS`.
static PREVIOUS: [AtomicUsize; 65] = [const { AtomicUsize::new(0) }; 65];

/// Writes out what standard output still holds when a signal ends the process.
fn flush_on_crash() {
    for signal in [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: both structures are plain data; the handler is a function with the right signature.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let mut previous: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_crash as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
            libc::sigaction(signal, &action, &mut previous);
            PREVIOUS[signal as usize].store(previous.sa_sigaction, Ordering::Relaxed);
        }
    }
    // SAFETY: the kernel ignores it for itself; a cell and what it starts have the usual behaviour.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}

extern "C" fn on_crash(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: flushing takes a lock. If another thread holds it, the alarm ends the process after a second; the
    // text would be lost in any case.
    unsafe { libc::alarm(1) };
    let _ = std::panic::catch_unwind(|| std::io::stdout().flush());
    unsafe { libc::alarm(0) };
    let previous = PREVIOUS[signal as usize].load(Ordering::Relaxed);
    if previous == libc::SIG_DFL || previous == libc::SIG_IGN {
        // SAFETY: back to the default, and the same again: it ends the process as if nobody had listened.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    } else {
        // SAFETY: it was installed with this signature by the standard library.
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = unsafe { std::mem::transmute(previous) };
        handler(signal, info, context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_gives_only_the_frames_of_cells() {
        let text = "   0: std::backtrace_rs::trace\n             at /rustc/abc/library/std/src/backtrace.rs:331:13\n   \
                    7: ctx::half\n             at ./src/lib.rs:5:10\n   8: run_user_code_3\n             at /k/7/src/lib.rs:41:3\n   \
                    9: main\n             at /home/x/src/lib.rs:1:1\n";
        let frames = parse_backtrace(text, "/k/7");
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].function.as_str(), frames[0].line), ("ctx::half", 5));
        assert_eq!((frames[1].function.as_str(), frames[1].line), ("run_user_code_3", 41));
        assert!(frames.iter().all(|frame| frame.file == CELL_SOURCE));
    }
}
