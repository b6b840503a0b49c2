//! The cells of one kernel, one after the other: each is compiled and run through evcxr and ends as a reply.

use crate::cell_lines::CellLines;
use crate::evaluator::Evaluator;
use crate::events::Command;
use crate::failure::Failure;
use crate::local_deps;
use crate::running::{Running, media, publish_stream, result};
use crossbeam_channel::Receiver;
use evcxr::CommandContext;
use jupyter_protocol::{
    ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest, ExecutionCount, JupyterMessage, Media, ReplyStatus,
    Status, StreamContent,
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A relay that was just started may take this long to answer.
const SYNC_WAIT: Duration = Duration::from_secs(10);
/// Requests that a client sent together arrive within this time.
const TOGETHER: Duration = Duration::from_millis(20);
const COMPILED_ANEW: &str = "the helper library was compiled anew while this kernel ran: restart the kernel";

/// A request to run a cell.
#[derive(Debug)]
pub struct Cell {
    /// The cell.
    pub execute: ExecuteRequest,
    /// The message that brought it.
    pub request: JupyterMessage,
}

/// The kernel's state from the first cell on.
pub struct Session {
    evaluator: Evaluator,
    /// None when no cell can run.
    context: Option<CommandContext>,
    cells: CellLines,
    count: usize,
    syncs: u64,
    notebook_folder: PathBuf,
}

impl Session {
    /// A session without cells; without a context each cell is told why.
    pub fn new(evaluator: Evaluator, context: Option<CommandContext>) -> Self {
        let notebook_folder = std::env::current_dir().unwrap_or_else(|_| Path::new(".").into());
        Self { evaluator, context, cells: CellLines::default(), count: 0, syncs: 0, notebook_folder }
    }

    /// Runs cells until the kernel ends.
    pub fn serve(mut self, cells: &Receiver<Cell>) {
        while let Ok(cell) = cells.recv() {
            for queued in self.run(&cell, cells) {
                let reply = ExecuteReply { status: ReplyStatus::Aborted, ..Default::default() };
                let outbox = self.evaluator.outbox();
                outbox.publish(Status::busy().as_child_of(&queued.request));
                outbox.reply(reply.as_child_of(&queued.request));
                outbox.publish(Status::idle().as_child_of(&queued.request));
            }
        }
    }

    /// Runs a cell and tells the client everything. Gives the cells that were sent behind it and must not run, because
    /// it failed.
    fn run(&mut self, cell: &Cell, cells: &Receiver<Cell>) -> Vec<Cell> {
        let (request, outbox) = (&cell.request, self.evaluator.outbox().clone());
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
        let shared = self.evaluator.shared().clone();
        {
            let mut running = shared.running();
            let synced = running.synced;
            *running = Running { request: Some(request.clone()), count: self.count, synced, ..Default::default() };
        }
        shared.interrupted.store(false, Ordering::SeqCst);
        shared.busy.store(true, Ordering::SeqCst);
        let Some(context) = &mut self.context else {
            let reason = self.evaluator.broken().map(str::to_owned).unwrap_or_default();
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
            publish_stream(&mut running, self.evaluator.outbox(), text, StreamContent::stderr);
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
        let shared = self.evaluator.shared();
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
