//! Starts other programs in a clean environment, keeps what they print in a log, and says in one message why one
//! failed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::workspace::Workspace;

/// Variables that a caller may have set for other projects and that would change where or how this one is built.
const FOREIGN: [&str; 16] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_CRATE_NAME",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    // Some build scripts read it, and compile everything after them anew when it changes.
    "OUT_DIR",
    "PIP_PREFIX",
    "PIP_TARGET",
    "PIP_USER",
    "PYTHONHOME",
    "PYTHONPATH",
    "RUSTFLAGS",
    "VIRTUAL_ENV",
];

/// Lines of a log that a message shows.
const TAIL_LINES: usize = 25;

/// Which stream of a program a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A command without the variables that `cargo run` or another project added to the environment.
pub fn clean_command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if FOREIGN.contains(&text) || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(text);
        }
    }
    // cargo puts the build's folders in front, so that programs run which would fail when started by Jupyter.
    if let Some(paths) = std::env::var_os("LD_LIBRARY_PATH") {
        let kept: Vec<_> = std::env::split_paths(&paths).filter(|path| !is_build_folder(path)).collect();
        match std::env::join_paths(&kept) {
            Ok(joined) if !kept.is_empty() => command.env("LD_LIBRARY_PATH", joined),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    command
}

/// A cargo of this workspace.
///
/// It never sees `CI`: crates of rust-analyzer read that variable while they compile, so that a build with it and one
/// without would each compile them anew.
pub fn cargo(workspace: &Workspace) -> Command {
    let mut command = clean_command("cargo");
    command.current_dir(workspace.root()).env_remove("CI");
    command
}

fn is_build_folder(path: &Path) -> bool {
    let built = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf));
    built.is_some_and(|folder| path.starts_with(folder))
        || path.components().any(|part| part.as_os_str() == "rustlib" || part.as_os_str() == "toolchains")
}

/// Ends the child when this process is ended, so that an interrupted set-up leaves nothing running behind it.
pub fn end_with_this_process(command: &mut Command) -> &mut Command {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        // SAFETY: prctl is async-signal-safe and touches only the calling process, which is the forked child.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
    }
    command
}

/// Runs `command` without standard input, hands each line to `on_line`, and waits for the end.
///
/// # Errors
/// When the program cannot be started.
pub fn run_by_line(command: &mut Command, mut on_line: impl FnMut(Stream, &str)) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    end_with_this_process(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| anyhow!("`{program}` could not be started ({error}): run `cargo lab doctor`"))?;

    let (sender, lines) = mpsc::channel();
    let mut readers = Vec::new();
    if let Some(output) = child.stdout.take() {
        readers.push(forward_lines(output, Stream::Output, sender.clone()));
    }
    if let Some(error) = child.stderr.take() {
        readers.push(forward_lines(error, Stream::Error, sender.clone()));
    }
    drop(sender);
    for (stream, line) in lines {
        on_line(stream, &line);
    }
    for reader in readers {
        // A reader only ends early when the pipe does.
        let _ = reader.join();
    }
    child.wait().with_context(|| format!("waiting for `{program}` failed"))
}

fn forward_lines(
    pipe: impl std::io::Read + Send + 'static,
    stream: Stream,
    sender: mpsc::Sender<(Stream, String)>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send((stream, line)).is_err() {
                break;
            }
            bytes.clear();
        }
    })
}

/// A file that keeps what a step printed.
pub struct Log {
    file: File,
    text: String,
}

impl Log {
    /// Starts the log of a step anew.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { file, text: String::new() })
    }

    /// Adds a line. A log that cannot be written any more does not stop the step: the message keeps the text.
    pub fn line(&mut self, line: &str) {
        let _ = writeln!(self.file, "{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// One message: what failed, the likely cause with its fix when the log names one, and the log's end.
    pub fn failure(&self, what: &str, status: ExitStatus) -> anyhow::Error {
        let cause = known_cause(&self.text).map(|cause| format!("\n{cause}")).unwrap_or_default();
        anyhow!("{what} failed ({status}).{cause}\nThe end of its log:\n{}", excerpt(&self.text))
    }
}

/// Recognises the two causes that have nothing to do with the project: no network, and a full disk.
pub fn known_cause(text: &str) -> Option<&'static str> {
    const NETWORK: [&str; 12] = [
        "Could not resolve host",
        "Couldn't resolve host",
        "Temporary failure in name resolution",
        "Name or service not known",
        "Network is unreachable",
        "Could not connect to server",
        "Couldn't connect to server",
        "Connection refused",
        "NewConnectionError",
        "ConnectTimeoutError",
        "spurious network error",
        "Could not find a version that satisfies the requirement",
    ];
    if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
        return Some(
            "The disk is full. Free some space (`cargo lab doctor` says how much is needed), then run the same command again.",
        );
    }
    if NETWORK.iter().any(|sign| text.contains(sign)) {
        return Some(
            "A package registry could not be reached. Check the network (and the proxy settings, if you use one), then run \
             the same command again: it goes on where it stopped.",
        );
    }
    None
}

/// The part of a log worth reading: from the first error on, or else the last lines.
fn excerpt(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first_error = lines.iter().position(|line| line.trim_start().to_lowercase().starts_with("error"));
    let start = first_error.unwrap_or(lines.len().saturating_sub(TAIL_LINES));
    let chosen: Vec<String> = lines.iter().skip(start).take(TAIL_LINES).map(|line| format!("    {line}")).collect();
    chosen.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_streams_arrive_and_the_status_is_kept() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let status = run_by_line(&mut command, |stream, line| seen.push((stream, line.to_owned())));
        assert_eq!(status.ok().and_then(|status| status.code()), Some(3));
        assert!(seen.contains(&(Stream::Output, "one".to_owned())));
        assert!(seen.contains(&(Stream::Error, "two".to_owned())));
        assert!(seen.contains(&(Stream::Output, "three".to_owned())), "a last line without a newline: {seen:?}");
    }

    #[test]
    fn the_two_outside_causes_are_recognised() {
        assert!(
            known_cause("warning: spurious network error (3 tries remaining)")
                .is_some_and(|text| text.contains("network"))
        );
        assert!(
            known_cause("io error: No space left on device (os error 28)").is_some_and(|text| text.contains("disk"))
        );
        assert_eq!(known_cause("error[E0308]: mismatched types"), None);
    }

    #[test]
    fn the_excerpt_starts_at_the_first_error() {
        let log = format!("{}error: it broke\n  because\n", "   Compiling something\n".repeat(50));
        assert_eq!(excerpt(&log), "    error: it broke\n      because");
    }
}
