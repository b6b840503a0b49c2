//! What the relay tells of the cell that runs, passed on to Jupyter while it happens.

use crate::events::{Command, Display, Event, Exit, Panic, Spent, UserError};
use crate::interrupt::Request;
use crate::jupyter::Outbox;
use crate::known::Known;
use jupyter_protocol::{
    ClearOutput, DisplayData, ExecuteResult, ExecutionCount, JupyterMessage, Media, StreamContent, Transient,
    UpdateDisplayData,
};
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Condvar, Mutex, MutexGuard};

/// More text than this of one cell, in bytes, makes a notebook that no browser opens.
const MOST_TEXT: usize = 20_000_000;

/// What is known of the cell that runs.
#[derive(Debug, Default)]
pub struct Running {
    /// The message that asked for it; none before the first cell.
    pub request: Option<JupyterMessage>,
    /// Its execution count.
    pub count: usize,
    /// Whether its value is nobody's business.
    pub silent: bool,
    /// Panics of its main thread, as reported, caught or not.
    pub panics: Vec<Panic>,
    /// Whether a panic ended it.
    pub by_panic: bool,
    /// The error that left it through `?`.
    pub by_error: Option<UserError>,
    /// How the process ended that ran it.
    pub exit: Option<Exit>,
    /// How long it ran, and how much memory that took at most.
    pub spent: Option<Spent>,
    /// The highest [`Command::Sync`] that was answered.
    pub synced: u64,
    /// How many bytes of text it has printed.
    pub printed: usize,
    /// Text that the warm-up printed, shown when it fails.
    pub before: String,
}

/// What the evaluator's thread, the one that listens to relays, and the one that interrupts share.
#[derive(Debug)]
pub struct Shared {
    /// The cell that runs, or the last one.
    pub running: Mutex<Running>,
    /// Notified when [`Running::synced`] grows.
    pub synced: Condvar,
    /// The relay of the moment.
    pub relay: Mutex<Option<UnixStream>>,
    /// Whether evcxr is compiling or running a cell.
    pub busy: AtomicBool,
    /// Counts the cells that were begun.
    pub cell: AtomicU64,
    /// Whether the learner wants it to stop.
    pub interrupt: Request,
    /// Cells that were sent and have not ended.
    pub waiting: AtomicUsize,
    /// What earlier cells left behind.
    pub known: Mutex<Known>,
    /// The kernel's own folder.
    pub folder: PathBuf,
}

impl Shared {
    /// The cell that runs, locked.
    pub fn running(&self) -> MutexGuard<'_, Running> {
        // A thread that panicked left a whole value: nothing here is changed in steps.
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What earlier cells left behind, locked.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends a command to the relay of the moment, if there is one.
    pub fn tell_relay(&self, command: Command) {
        let mut relay = self.relay.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let (Some(stream), Ok(mut line)) = (relay.as_mut(), serde_json::to_vec(&command)) {
            line.push(b'\n');
            // A relay that is gone is replaced by evcxr; whoever waits for an answer asks again.
            let _ = stream.write_all(&line);
        }
    }
}

/// Listens to one relay after the other: evcxr starts a new one when the process that runs cells has ended.
pub fn listen(listener: &UnixListener, shared: &Shared, outbox: &Outbox) {
    for stream in listener.incoming().flatten() {
        *shared.relay.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = stream.try_clone().ok();
        for line in BufReader::new(stream).lines().map_while(std::io::Result::ok) {
            if let Ok(event) = serde_json::from_str(&line) {
                handle(event, shared, outbox);
            }
        }
    }
}

fn handle(event: Event, shared: &Shared, outbox: &Outbox) {
    let mut running = shared.running();
    let running = &mut *running;
    match event {
        Event::Stdout(text) => publish_stream(running, outbox, text, StreamContent::stdout),
        Event::Stderr(text) => publish_stream(running, outbox, text, StreamContent::stderr),
        Event::Display(shown) => {
            if let Some(request) = &running.request {
                outbox.publish(display(shown, request));
            }
        }
        Event::Clear { wait } => {
            if let Some(request) = &running.request {
                outbox.publish(ClearOutput { wait }.as_child_of(request));
            }
        }
        Event::Value(text) => {
            if let Some(request) = running.request.as_ref().filter(|_| text != "()" && !running.silent) {
                outbox.publish(result(
                    Media::new(vec![jupyter_protocol::MediaType::Plain(text)]),
                    running.count,
                    request,
                ));
            }
        }
        Event::Panicked(panic) => match panic.thread {
            Some(name) => {
                let place =
                    panic.frames.first().map(|f| format!(" at line {} of {}", f.line, f.file)).unwrap_or_default();
                let text = format!("thread '{name}' panicked{place}: {}\n", panic.message);
                publish_stream(running, outbox, text, StreamContent::stderr);
            }
            None => running.panics.push(panic),
        },
        Event::EndedByPanic => running.by_panic = true,
        Event::EndedByError(error) => running.by_error = Some(error),
        Event::Ran(spent) => running.spent = Some(spent),
        Event::Exited(exit) => running.exit = Some(exit),
        Event::Synced(number) => {
            running.synced = running.synced.max(number);
            shared.synced.notify_all();
        }
    }
}

/// Sends text of the cell that runs to the client; keeps that of the warm-up.
pub fn publish_stream(running: &mut Running, outbox: &Outbox, text: String, stream: impl Fn(&str) -> StreamContent) {
    let Some(request) = &running.request else {
        running.before.push_str(&text);
        return;
    };
    let before = running.printed;
    running.printed += text.len();
    if running.printed <= MOST_TEXT {
        outbox.publish(stream(&text).as_child_of(request));
    } else if before <= MOST_TEXT {
        let note =
            format!("\nThis cell has printed more than {} MB; what follows is not shown.\n", MOST_TEXT / 1_000_000);
        outbox.publish(StreamContent::stderr(&note).as_child_of(request));
    }
}

fn display(shown: Display, request: &JupyterMessage) -> JupyterMessage {
    let data = media(shown.data).unwrap_or_default();
    let metadata = shown.metadata;
    match (shown.id, shown.update) {
        (Some(id), true) => {
            let transient = Transient { display_id: Some(id) };
            UpdateDisplayData { data, metadata, transient }.as_child_of(request)
        }
        (display_id, _) => {
            DisplayData { data, metadata, transient: Some(Transient { display_id }) }.as_child_of(request)
        }
    }
}

/// Content by mime type as a message's data; none when it is no such thing.
pub fn media(data: Map<String, Value>) -> Option<Media> {
    serde_json::from_value(Value::Object(data)).ok()
}

/// The value of the cell with this execution count.
pub fn result(data: Media, count: usize, request: &JupyterMessage) -> JupyterMessage {
    let execution_count = ExecutionCount::new(count);
    ExecuteResult { execution_count, data, metadata: Map::new(), transient: Some(Transient::default()) }
        .as_child_of(request)
}
