//! The relay stands between evcxr and the process that runs cells, the runtime.
//!
//! evcxr sees only the lines of its own protocol. Everything else, text, rich outputs and failures, goes to the
//! kernel as [`Event`]s, as it happens. The relay outlives every crash: it waits for the process itself and not
//! for the end of its pipes, which a left-over child could hold open, and ends whatever the process started.

pub mod markers;
mod parser;
mod processes;

use crate::environment;
use crate::events::{Command, Event, Exit, Spent};
use crate::interrupt;
use crate::runtime;
use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parser::{Parser, Piece};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Stdio};
use std::time::Instant;

/// What might be the beginning of a marker is shown as text after this long.
const HOLD_BACK_MS: u16 = 40;
/// Read at most so much at a time, so that both streams get their turn.
const CHUNK: usize = 64 * 1024;
/// Exit code of the relay when its runtime was ended by a signal, as a shell gives it.
const SIGNAL_BASE: i32 = 128;

/// Runs the runtime until it ends or evcxr goes away.
pub fn run(socket: &Path) -> Result<()> {
    processes::adopt_orphans()?;
    let kernel = UnixStream::connect(socket).context("the kernel does not listen")?;
    let mut relay = Relay::start(kernel)?;
    let exit = relay.serve()?;
    relay.finish(exit)
}

struct Relay {
    child: Child,
    child_exited: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// Bytes of standard error that may be half a character.
    stderr_rest: Vec<u8>,
    parser: Parser,
    events: UnixStream,
    commands: BufReader<UnixStream>,
    /// Since when the runtime is running a cell.
    busy: Option<Instant>,
    interrupted: bool,
}

impl Relay {
    fn start(kernel: UnixStream) -> Result<Self> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        environment::restore(&mut command);
        let cells = environment::Surroundings::from_environment()?.folder;
        command
            .env(runtime::CELL_FOLDER, &cells)
            .arg("runtime")
            .env("ONRAMP_DISPLAY", "1")
            .env("ONRAMP_INTERRUPT", cells.join(interrupt::FLAG))
            // A panic's frames come from the hook; libraries' errors are read by people.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = processes::spawn_tied_to_parent(command)?;
        let child_exited = processes::exit_of(child.id())?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for fd in [stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)].into_iter().flatten() {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let commands = kernel.try_clone()?;
        Ok(Self {
            child,
            child_exited,
            stdin,
            stdout,
            stderr,
            stderr_rest: Vec::new(),
            parser: Parser::default(),
            events: kernel,
            commands: BufReader::new(commands),
            busy: None,
            interrupted: false,
        })
    }

    /// Passes everything on until the runtime ends or there is no one left to serve.
    fn serve(&mut self) -> Result<Option<Exit>> {
        fcntl(std::io::stdin().as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        loop {
            let wait = if self.parser.holds_back() { PollTimeout::from(HOLD_BACK_MS) } else { PollTimeout::NONE };
            let [input, output, error, exited, command] = self.ready(wait)?;
            if error {
                self.pass_stderr()?;
            }
            if output && !self.pass_stdout()? {
                return Ok(Some(Exit::ClosedStdout));
            }
            if command && !self.obey()? {
                return Ok(None);
            }
            if input && !self.pass_stdin()? {
                return Ok(None);
            }
            if exited {
                self.ran()?;
                let status = self.child.wait()?;
                self.pass_stderr()?;
                self.drain_stdout()?;
                let pieces = self.parser.flush();
                self.pass(pieces)?;
                return Ok(Some(match (self.interrupted, status.signal()) {
                    (true, _) => Exit::Interrupted,
                    (false, Some(signal)) => Exit::Signal(signal),
                    (false, None) => Exit::Code(status.code().unwrap_or_default()),
                }));
            }
            if ![input, output, error, exited, command].contains(&true) && !self.parser.inside_marker() {
                let pieces = self.parser.flush();
                self.pass(pieces)?;
            }
        }
    }

    /// Waits; says which of standard input, output, error, the end of the process, and the kernel has something.
    fn ready(&self, wait: PollTimeout) -> Result<[bool; 5]> {
        let input = std::io::stdin();
        let mut fds = vec![
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.child_exited.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.commands.get_ref().as_fd(), PollFlags::POLLIN),
        ];
        if let Some(output) = &self.stdout {
            fds.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
        }
        if let Some(error) = &self.stderr {
            fds.push(PollFd::new(error.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, wait) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut some = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let mut next = || some.next().unwrap_or(false);
        let (input, exited, command) = (next(), next(), next());
        let output = self.stdout.is_some() && next();
        let error = self.stderr.is_some() && next();
        Ok([input, output, error, exited, command])
    }

    /// From evcxr to the runtime. False when evcxr is gone.
    fn pass_stdin(&mut self) -> Result<bool> {
        let mut bytes = [0; CHUNK];
        match std::io::stdin().lock().read(&mut bytes) {
            Ok(0) => return Ok(false),
            Ok(n) => {
                if self.busy.is_none() && bytes[..n].starts_with(runtime::LOAD_AND_RUN.as_bytes()) {
                    processes::forget_peak_memory(self.child.id());
                    self.busy = Some(Instant::now());
                }
                if let Some(stdin) = &mut self.stdin {
                    // A runtime that is just ending is noticed by its exit.
                    let _ = stdin.write_all(&bytes[..n]);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// From the runtime's standard output to evcxr and the kernel. False when a running process closed it.
    fn pass_stdout(&mut self) -> Result<bool> {
        let Some(stdout) = &mut self.stdout else { return Ok(true) };
        let Some(bytes) = read_available(stdout)? else {
            self.stdout = None;
            // The end of the process closes it, too; give that a moment to be seen.
            let mut exited = [PollFd::new(self.child_exited.as_fd(), PollFlags::POLLIN)];
            poll(&mut exited, PollTimeout::from(200u16))?;
            return Ok(exited[0].any().unwrap_or(false));
        };
        let pieces = self.parser.push(&bytes);
        self.pass(pieces)?;
        Ok(true)
    }

    /// What is still in the pipe; a left-over child that keeps writing is not waited for.
    fn drain_stdout(&mut self) -> Result<()> {
        while let Some(bytes) = self.stdout.as_mut().map(read_available).transpose()?.flatten() {
            if bytes.is_empty() {
                break;
            }
            let pieces = self.parser.push(&bytes);
            self.pass(pieces)?;
        }
        Ok(())
    }

    fn pass_stderr(&mut self) -> Result<()> {
        while let Some(stderr) = &mut self.stderr {
            match read_available(stderr)? {
                None => self.stderr = None,
                Some(bytes) if bytes.is_empty() => break,
                Some(bytes) => self.stderr_rest.extend(bytes),
            }
            let whole = match std::str::from_utf8(&self.stderr_rest) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => self.stderr_rest.len(),
            };
            let text: Vec<u8> = self.stderr_rest.drain(..whole).collect();
            if !text.is_empty() {
                self.tell(&Event::Stderr(String::from_utf8_lossy(&text).into_owned()))?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, pieces: Vec<Piece>) -> Result<()> {
        for piece in pieces {
            match piece {
                Piece::Event(event) => self.tell(&event)?,
                Piece::Line(line) => {
                    if line == markers::COMPLETE {
                        self.ran()?;
                        // What the cell wrote on standard error is older than this line.
                        self.pass_stderr()?;
                    }
                    let mut stdout = std::io::stdout().lock();
                    writeln!(stdout, "{line}")?;
                    stdout.flush()?;
                }
            }
        }
        Ok(())
    }

    /// Tells what the cell took that has just ended.
    fn ran(&mut self) -> Result<()> {
        let Some(began) = self.busy.take() else { return Ok(()) };
        let peak_bytes = processes::peak_memory(self.child.id());
        self.tell(&Event::Ran(Spent { seconds: began.elapsed().as_secs_f64(), peak_bytes }))
    }

    /// The commands of the kernel. False when the kernel is gone.
    fn obey(&mut self) -> Result<bool> {
        loop {
            let mut line = String::new();
            if self.commands.read_line(&mut line)? == 0 {
                return Ok(false);
            }
            self.obey_one(&line)?;
            if self.commands.buffer().is_empty() {
                return Ok(true);
            }
        }
    }

    fn obey_one(&mut self, line: &str) -> Result<()> {
        match serde_json::from_str(line) {
            Ok(Command::Sync(number)) => {
                self.pass_stderr()?;
                self.tell(&Event::Synced(number))?;
            }
            Ok(Command::End) if self.busy.is_some() => {
                self.interrupted = true;
                self.child.kill()?;
            }
            Ok(Command::End) => {}
            Err(_) => {}
        }
        Ok(())
    }

    fn tell(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.events.write_all(&line).context("the kernel is gone")
    }

    /// Ends everything, and this process as the runtime ended.
    fn finish(mut self, exit: Option<Exit>) -> Result<()> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        processes::end_descendants();
        if let Some(exit) = exit {
            self.tell(&Event::Exited(exit))?;
        }
        std::process::exit(match exit {
            Some(Exit::Code(code)) => code,
            Some(Exit::Signal(signal)) => SIGNAL_BASE + signal,
            Some(Exit::Interrupted) => SIGNAL_BASE + libc::SIGINT,
            Some(Exit::ClosedStdout) | None => 0,
        })
    }
}

/// What is there to read, empty when nothing is yet, `None` at the end.
fn read_available(stream: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; CHUNK];
    match stream.read(&mut bytes) {
        Ok(0) => Ok(None),
        Ok(n) => {
            bytes.truncate(n);
            Ok(Some(bytes))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Some(Vec::new())),
        Err(error) => Err(error.into()),
    }
}
