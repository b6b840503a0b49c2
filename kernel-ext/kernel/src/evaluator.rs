//! Runs cells, one after the other, on a thread of its own, through evcxr.

use crate::cell_lines::CellLines;
use crate::environment;
use crate::events::{Command, Event, Exit, Panic, UserError};
use crate::failure::Failure;
use crate::jupyter::Outbox;
use crate::local_deps;
use crate::stand_in::COMPILER_PID;
use crate::state_folder::{StateFolder, Tools};
use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender};
use evcxr::{CommandContext, EvalContext};
use jupyter_protocol::{
    DisplayData, ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest, ExecuteResult, ExecutionCount,
    JupyterMessage, Media, ReplyStatus, Status, StreamContent, Transient,
};
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// Cells compile quickly and run well enough at this level; the heavy work is in the helper library.
const OPT_LEVEL: &str = "1";
/// A relay that was just started may take this long to answer.
const SYNC_WAIT: Duration = Duration::from_secs(10);
/// Requests that a client sent together arrive within this time.
const TOGETHER: Duration = Duration::from_millis(20);
/// What every kernel does before its first cell, so that a learner does not wait for it: loads the helper crate,
/// meets the first `?`, infers the type of a first variable and drops it again.
const WARM_UP: [&str; 3] =
    ["Ok::<(), std::fmt::Error>(())?;", "let onramp_warm_up = vec![1u8];", "drop(onramp_warm_up);"];

const COMPILED_ANEW: &str = "the helper library was compiled anew while this kernel ran: restart the kernel";

/// A request to run a cell.
#[derive(Debug)]
pub struct Cell {
    /// The cell.
    pub execute: ExecuteRequest,
    /// The message that brought it.
    pub request: JupyterMessage,
}

/// What is known of the cell that runs.
#[derive(Debug, Default)]
struct Running {
    request: Option<JupyterMessage>,
    count: usize,
    panics: Vec<Panic>,
    by_panic: bool,
    by_error: Option<UserError>,
    exit: Option<Exit>,
    synced: u64,
    /// Text that the warm-up printed, shown when it fails.
    before: String,
}

/// What the evaluator's thread, the one that listens to relays, and the one that interrupts share.
#[derive(Debug)]
struct Shared {
    running: Mutex<Running>,
    synced: Condvar,
    relay: Mutex<Option<UnixStream>>,
    busy: AtomicBool,
    interrupted: AtomicBool,
    folder: PathBuf,
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        // A thread that panicked left a whole value: nothing here is changed in steps.
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn tell_relay(&self, command: Command) {
        let mut relay = self.relay.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let (Some(stream), Ok(mut line)) = (relay.as_mut(), serde_json::to_vec(&command)) {
            line.push(b'\n');
            // A relay that is gone is replaced by evcxr; whoever waits for an answer asks again.
            let _ = stream.write_all(&line);
        }
    }
}

/// Ends what the evaluator is doing.
#[derive(Debug, Clone)]
pub struct Interrupter(Arc<Shared>);

impl Interrupter {
    /// Stops the compiler, or the process that runs the cell. Does nothing while no cell runs.
    pub fn interrupt(&self) {
        if self.0.busy.load(Ordering::SeqCst) {
            self.0.interrupted.store(true, Ordering::SeqCst);
            if !self.stop_compiler() {
                self.0.tell_relay(Command::Interrupt);
            }
        }
    }

    /// Ends everything below the kernel and removes its folder.
    pub fn end(&self) {
        self.stop_compiler();
        self.0.tell_relay(Command::Interrupt);
        let _ = std::fs::remove_dir_all(&self.0.folder);
    }

    fn stop_compiler(&self) -> bool {
        let pid =
            std::fs::read_to_string(self.0.folder.join(COMPILER_PID)).ok().and_then(|text| text.parse::<i32>().ok());
        // SAFETY: a plain system call, on the process group that the stand-in made for itself.
        pid.is_some_and(|pid| unsafe { libc::killpg(pid, libc::SIGTERM) } == 0)
    }
}

/// Runs cells; see [`Evaluator::start`].
pub struct Evaluator {
    state: StateFolder,
    outbox: Outbox,
    shared: Arc<Shared>,
    listener: UnixListener,
    /// Outside the state folder: a socket's path has 108 bytes at most.
    _socket_folder: tempfile::TempDir,
    socket: PathBuf,
    /// Why no cell can run, told to each of them.
    broken: Option<String>,
    /// The helper library, and when it was compiled.
    library: Option<(PathBuf, SystemTime)>,
}

impl Evaluator {
    /// Makes the kernel's folder and changes the environment to it. Call it before any thread is started.
    ///
    /// When set-up is missing or stale there is an evaluator all the same, whose cells say so.
    pub fn install(state: StateFolder, outbox: Outbox) -> Result<Self> {
        let folder = state.make_kernel_folder()?;
        match state.check_fresh() {
            Ok(tools) => Self::for_preparation(state, &folder, &tools, outbox),
            Err(error) => {
                let broken = Some(format!("{error:#}"));
                Ok(Self { broken, ..Self::new(state, &folder, outbox)? })
            }
        }
    }

    /// The same with these tools, whatever was recorded.
    pub fn for_preparation(state: StateFolder, folder: &Path, tools: &Tools, outbox: Outbox) -> Result<Self> {
        // SAFETY: no other thread runs yet.
        unsafe { environment::install(&state, folder, tools)? };
        let library = Some((tools.library.clone(), tools.built()?));
        Ok(Self { library, ..Self::new(state, folder, outbox)? })
    }

    fn new(state: StateFolder, folder: &Path, outbox: Outbox) -> Result<Self> {
        let socket_folder =
            tempfile::Builder::new().prefix("onramp-").tempdir().context("cannot make a temporary folder")?;
        let socket = socket_folder.path().join("relay");
        let listener = UnixListener::bind(&socket).context("cannot make the relay's socket")?;
        let shared = Shared {
            running: Mutex::default(),
            synced: Condvar::new(),
            relay: Mutex::default(),
            busy: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            folder: folder.into(),
        };
        Ok(Self {
            state,
            outbox,
            shared: Arc::new(shared),
            listener,
            _socket_folder: socket_folder,
            socket,
            broken: None,
            library: None,
        })
    }

    /// A handle that stops what runs.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.shared.clone())
    }

    /// Whether new cells would be compiled for another library than the one that is loaded.
    fn library_changed(&self) -> bool {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        self.library.as_ref().is_some_and(|(path, then)| changed(path) != Some(*then))
    }

    /// Starts to warm up, and gives the door for cells, which wait until that is done.
    pub fn start(self) -> Result<Sender<Cell>> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        std::thread::Builder::new()
            .name("evaluator".into())
            // rust-analyzer and evcxr recurse deeply.
            .stack_size(64 << 20)
            .spawn(move || {
                let warmed_up = self.warm_up().map_err(|error| format!("{error:#}"));
                match warmed_up {
                    Ok(context) => Session::new(self, Some(context)).serve(&receiver),
                    Err(error) => {
                        let broken = Self { broken: Some(error), ..self };
                        Session::new(broken, None).serve(&receiver);
                    }
                }
            })?;
        Ok(sender)
    }

    /// Builds evcxr's context and does once what would make the first cells slow.
    pub fn warm_up(&self) -> Result<CommandContext> {
        if let Some(reason) = &self.broken {
            anyhow::bail!("{reason}");
        }
        let (listener, shared, outbox) = (self.listener.try_clone()?, self.shared.clone(), self.outbox.clone());
        std::thread::Builder::new().name("relay events".into()).spawn(move || listen(&listener, &shared, &outbox))?;
        let lock = self.state.workspace().join("Cargo.lock");
        if lock.exists() {
            std::fs::copy(lock, self.shared.folder.join("Cargo.lock"))?;
        }
        let mut relay = std::process::Command::new(std::env::current_exe()?);
        relay.arg("relay").arg("--socket").arg(&self.socket);
        let explain = |error: evcxr::Error| {
            anyhow::anyhow!("Rust cells cannot be compiled here: {error}\n{}", self.shared.running().before)
        };
        let (mut context, outputs) = {
            let (mut context, outputs) = EvalContext::with_subprocess_command(relay).map_err(explain)?;
            context.set_opt_level(OPT_LEVEL).map_err(explain)?;
            (CommandContext::with_eval_context(context), outputs)
        };
        // Everything comes through the relay; these would only fill up.
        std::thread::spawn(move || outputs.stdout.iter().for_each(drop));
        std::thread::spawn(move || outputs.stderr.iter().for_each(drop));
        let helpers = format!(":dep onramp = {{ path = \"{}\" }}", self.state.helpers.display());
        for code in [helpers.as_str()].into_iter().chain(WARM_UP) {
            context.execute(code).map_err(explain)?;
        }
        Ok(context)
    }
}

/// Listens to one relay after the other: evcxr starts a new one when the process that runs cells has ended.
fn listen(listener: &UnixListener, shared: &Shared, outbox: &Outbox) {
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
        Event::Display { data, metadata } => {
            if let (Some(request), Some(data)) = (&running.request, media(data)) {
                outbox.publish(DisplayData { data, metadata, transient: None }.as_child_of(request));
            }
        }
        Event::Value(text) => {
            if let Some(request) = running.request.as_ref().filter(|_| text != "()") {
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
        Event::Exited(exit) => running.exit = Some(exit),
        Event::Synced(number) => {
            running.synced = running.synced.max(number);
            shared.synced.notify_all();
        }
    }
}

fn publish_stream(running: &mut Running, outbox: &Outbox, text: String, stream: impl Fn(&str) -> StreamContent) {
    match &running.request {
        Some(request) => outbox.publish(stream(&text).as_child_of(request)),
        None => running.before.push_str(&text),
    }
}

fn media(data: Map<String, Value>) -> Option<Media> {
    serde_json::from_value(Value::Object(data)).ok()
}

fn result(data: Media, count: usize, request: &JupyterMessage) -> JupyterMessage {
    let execution_count = ExecutionCount::new(count);
    ExecuteResult { execution_count, data, metadata: Map::new(), transient: Some(Transient::default()) }
        .as_child_of(request)
}

/// The kernel's state from the first cell on.
struct Session {
    evaluator: Evaluator,
    /// None when no cell can run.
    context: Option<CommandContext>,
    cells: CellLines,
    count: usize,
    syncs: u64,
    notebook_folder: PathBuf,
}

impl Session {
    fn new(evaluator: Evaluator, context: Option<CommandContext>) -> Self {
        let notebook_folder = std::env::current_dir().unwrap_or_else(|_| Path::new(".").into());
        Self { evaluator, context, cells: CellLines::default(), count: 0, syncs: 0, notebook_folder }
    }

    fn serve(mut self, cells: &Receiver<Cell>) {
        while let Ok(cell) = cells.recv() {
            for queued in self.run(&cell, cells) {
                let reply = ExecuteReply { status: ReplyStatus::Aborted, ..Default::default() };
                let outbox = &self.evaluator.outbox;
                outbox.publish(Status::busy().as_child_of(&queued.request));
                outbox.reply(reply.as_child_of(&queued.request));
                outbox.publish(Status::idle().as_child_of(&queued.request));
            }
        }
    }

    /// Runs a cell and tells the client everything. Gives the cells that were sent behind it and must not run, because
    /// it failed.
    fn run(&mut self, cell: &Cell, cells: &Receiver<Cell>) -> Vec<Cell> {
        let (request, outbox) = (&cell.request, self.evaluator.outbox.clone());
        outbox.publish(Status::busy().as_child_of(request));
        if cell.execute.store_history && !cell.execute.silent {
            self.count += 1;
        }
        let execution_count = ExecutionCount::new(self.count);
        if !cell.execute.silent {
            let code = cell.execute.code.clone();
            outbox.publish(ExecuteInput { code, execution_count }.as_child_of(request));
        }
        let outcome = self.evaluate(&cell.execute.code, request);
        // Before the reply: what a client sends after it has seen the failure is to run.
        let mut aborted = Vec::new();
        if outcome.is_err() && cell.execute.stop_on_error {
            let deadline = Instant::now() + TOGETHER;
            aborted.extend(std::iter::from_fn(|| cells.recv_deadline(deadline).ok()));
        }
        let reply = match &outcome {
            Ok(data) => {
                if let Some(data) = data {
                    outbox.publish(result(data.clone(), self.count, request));
                }
                ExecuteReply { execution_count, user_expressions: Some(Default::default()), ..Default::default() }
            }
            Err(failure) => {
                outbox.publish(ErrorOutput::from(failure).as_child_of(request));
                let error = Some(Box::new(failure.into()));
                ExecuteReply { status: ReplyStatus::Error, execution_count, error, ..Default::default() }
            }
        };
        outbox.reply(reply.as_child_of(request));
        outbox.publish(Status::idle().as_child_of(request));
        aborted
    }

    fn evaluate(&mut self, code: &str, request: &JupyterMessage) -> Result<Option<Media>, Failure> {
        if self.evaluator.library_changed() {
            return Err(Failure::plain("SetUp", COMPILED_ANEW));
        }
        self.cells.push(self.count, code);
        let shared = self.evaluator.shared.clone();
        {
            let mut running = shared.running();
            let synced = running.synced;
            *running = Running { request: Some(request.clone()), count: self.count, synced, ..Default::default() };
        }
        shared.interrupted.store(false, Ordering::SeqCst);
        shared.busy.store(true, Ordering::SeqCst);
        let Some(context) = &mut self.context else {
            let reason = self.evaluator.broken.clone().unwrap_or_default();
            return Err(Failure::plain("SetUp", reason));
        };
        let outcome = context.execute(&local_deps::absolute(code, &self.notebook_folder));
        shared.busy.store(false, Ordering::SeqCst);
        let generated = context.last_source().unwrap_or_default();
        self.sync();
        let mut running = shared.running();
        if running.by_panic
            && let Some(panic) = running.panics.pop()
        {
            return Err(Failure::panic(&panic, &self.cells, &generated));
        }
        for caught in std::mem::take(&mut running.panics) {
            let text = format!("a panic was caught: {}\n", caught.message);
            publish_stream(&mut running, &self.evaluator.outbox, text, StreamContent::stderr);
        }
        if let Some(error) = &running.by_error {
            return Err(Failure::user_error(error, &self.cells, &generated));
        }
        if let Some(exit) = running.exit {
            return Err(Failure::exit(exit));
        }
        if shared.interrupted.load(Ordering::SeqCst) && outcome.is_err() {
            return Err(Failure::plain(
                "Interrupted",
                "the compiler was stopped; nothing ran, and all variables are kept",
            ));
        }
        match outcome {
            Err(_) if self.evaluator.library_changed() => Err(Failure::plain("SetUp", COMPILED_ANEW)),
            Err(error) => Err(Failure::evcxr(&error, self.count, code)),
            Ok(outputs) => {
                let data = outputs
                    .content_by_mime_type
                    .into_iter()
                    .map(|(mime, text)| (mime, Value::String(text)))
                    .collect::<Map<_, _>>();
                Ok((!data.is_empty()).then(|| media(data)).flatten())
            }
        }
    }

    /// Waits until everything that the cell did has been told.
    fn sync(&mut self) {
        self.syncs += 1;
        let shared = &self.evaluator.shared;
        let deadline = Instant::now() + SYNC_WAIT;
        let mut running = shared.running();
        while running.synced < self.syncs && Instant::now() < deadline {
            drop(running);
            shared.tell_relay(Command::Sync(self.syncs));
            running = shared.running();
            if running.synced < self.syncs {
                let wait = shared.synced.wait_timeout(running, Duration::from_millis(100));
                running = wait.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            }
        }
    }
}
