//! The cells of one kernel, one after the other: each is compiled and run through evcxr and ends as a reply.

use crate::assistant::{Answer, Question};
use crate::cell_lines::CellLines;
use crate::cell_options::CellOptions;
use crate::evaluator::Evaluator;
use crate::events::Command;
use crate::failure::Failure;
use crate::jupyter::Outbox;
use crate::local_deps;
use crate::running::{Running, Shared, media, publish_stream, result};
use crate::stand_in::recipe;
use crate::timing::{report, times};
use crossbeam_channel::Receiver;
use evcxr::{CommandContext, EvalCallbacks, EvalOutputs};
use jupyter_protocol::{
    DisplayData, ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest, ExecutionCount, ExpressionResult,
    InputRequest, JupyterMessage, Media, Payload, ReplyStatus, Status, StreamContent,
};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A relay that was just started may take this long to answer.
const SYNC_WAIT: Duration = Duration::from_secs(10);
/// Requests that a client sent together arrive within this time.
const TOGETHER: Duration = Duration::from_millis(20);
/// What evcxr's command for help is called, whose answer is shown in a pager.
const HELP: &str = ":help";
const COMPILED_ANEW: &str = "the helper library was compiled anew while this kernel ran: restart the kernel";

/// What the evaluator's thread is asked to do.
#[derive(Debug)]
pub enum Work {
    /// Run a cell.
    Cell(Box<Cell>),
    /// Answer a question about code, which this message brought.
    Question(Question, Box<JupyterMessage>),
}

/// A request to run a cell.
#[derive(Debug)]
pub struct Cell {
    /// The cell.
    pub execute: ExecuteRequest,
    /// The message that brought it.
    pub request: JupyterMessage,
}

/// How a cell ended that did not fail.
struct Success {
    /// What a command of evcxr's answers.
    answer: Option<Media>,
    /// Whether it is to say how long it took.
    timed: bool,
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

    /// Works until the kernel ends.
    pub fn serve(mut self, work: &Receiver<Work>) {
        while let Ok(next) = work.recv() {
            match next {
                Work::Cell(cell) => self.run(&cell, work),
                Work::Question(question, request) => self.answer(&question, &request),
            }
        }
    }

    fn answer(&mut self, question: &Question, request: &JupyterMessage) {
        let answer = match &mut self.context {
            Some(context) => question.ask(context),
            None => Answer::Nothing,
        };
        self.evaluator.outbox().answer(request, Some(answer.reply(request)));
    }

    /// Runs a cell and tells the client everything. When it fails, cells that were sent behind it do not run.
    fn run(&mut self, cell: &Cell, work: &Receiver<Work>) {
        let (request, outbox) = (&cell.request, self.evaluator.outbox().clone());
        let shared = self.evaluator.shared().clone();
        outbox.publish(Status::busy().as_child_of(request));
        if cell.execute.store_history && !cell.execute.silent {
            self.count += 1;
            shared.known().history.add(self.count, &cell.execute.code);
        }
        let execution_count = ExecutionCount::new(self.count);
        if !cell.execute.silent {
            let code = cell.execute.code.clone();
            outbox.publish(ExecuteInput { code, execution_count }.as_child_of(request));
        }
        let began = Instant::now();
        let outcome = self.evaluate(cell);
        let whole = began.elapsed().as_secs_f64();
        // Before the reply: what a client sends after it has seen the failure is to run.
        let mut behind = Vec::new();
        if outcome.is_err() && cell.execute.stop_on_error {
            let deadline = Instant::now() + TOGETHER;
            behind.extend(std::iter::from_fn(|| work.recv_deadline(deadline).ok()));
        }
        let spent = shared.running().spent;
        let reply = match outcome {
            Ok(success) => {
                let mut payload = Vec::new();
                if let Some(data) = success.answer {
                    match cell.execute.code.trim() {
                        HELP => payload.push(Payload::Page { data, start: 0 }),
                        _ if cell.execute.silent => {}
                        _ => outbox.publish(result(data, self.count, request)),
                    }
                }
                if success.timed {
                    outbox.publish(DisplayData::new(report(whole, spent)).as_child_of(request));
                }
                let user_expressions = Some(refused(cell.execute.user_expressions.as_ref()));
                ExecuteReply { execution_count, payload, user_expressions, ..Default::default() }
            }
            Err(failure) => {
                outbox.publish(ErrorOutput::from(&failure).as_child_of(request));
                let error = Some(Box::new((&failure).into()));
                ExecuteReply { status: ReplyStatus::Error, execution_count, error, ..Default::default() }
            }
        };
        outbox.reply(reply.as_child_of(request).with_metadata(times(whole, spent)));
        outbox.publish(Status::idle().as_child_of(request));
        shared.waiting.fetch_sub(1, Ordering::SeqCst);
        for work in behind {
            match work {
                Work::Question(question, request) => self.answer(&question, &request),
                Work::Cell(queued) => {
                    let reply = ExecuteReply { status: ReplyStatus::Aborted, ..Default::default() };
                    outbox.answer(&queued.request, Some(reply.as_child_of(&queued.request)));
                    shared.waiting.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn evaluate(&mut self, cell: &Cell) -> Result<Success, Failure> {
        let (options, code) = CellOptions::take(&cell.execute.code);
        let (code, request) = (code.as_str(), &cell.request);
        if self.evaluator.library_changed() {
            return Err(Failure::plain("SetUp", COMPILED_ANEW));
        }
        self.cells.push(self.count, code);
        let shared = self.evaluator.shared().clone();
        {
            let mut running = shared.running();
            let synced = running.synced;
            let (request, silent) = (Some(request.clone()), cell.execute.silent);
            *running = Running { request, silent, count: self.count, synced, ..Default::default() };
        }
        let Some(context) = &mut self.context else {
            let reason = self.evaluator.broken().map(str::to_owned).unwrap_or_default();
            return Err(Failure::plain("SetUp", reason));
        };
        if let Err(error) = recipe::set_opt_level(&shared.folder, options.opt_level.as_deref()) {
            return Err(Failure::plain("SetUp", format!("{error:#}")));
        }
        shared.interrupt.clear();
        shared.cell.fetch_add(1, Ordering::SeqCst);
        shared.busy.store(true, Ordering::SeqCst);
        let input =
            Input { outbox: self.evaluator.outbox(), cell, shared: &shared, refused: std::cell::Cell::new(None) };
        let outcome = context.execute_with_callbacks(
            &local_deps::absolute(code, &self.notebook_folder),
            &mut EvalCallbacks { input_reader: &|asked| input.read(asked.prompt, asked.is_password) },
        );
        let not_asked = input.refused.take();
        shared.busy.store(false, Ordering::SeqCst);
        let interrupted = shared.interrupt.made();
        let asked_to_stop = |failure: Failure| if interrupted { failure.of_interrupt() } else { failure };
        shared.interrupt.clear();
        let generated = context.last_source().unwrap_or_default();
        let variables: Vec<(String, String)> =
            context.variables_and_types().map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        self.sync();
        let mut running = shared.running();
        if running.by_panic
            && let Some(panic) = running.panics.pop()
        {
            return Err(asked_to_stop(Failure::panic(&panic, &self.cells, &generated)));
        }
        for caught in std::mem::take(&mut running.panics) {
            let text = format!("a panic was caught: {}\n", caught.message);
            publish_stream(&mut running, self.evaluator.outbox(), text, StreamContent::stderr);
        }
        if let Some(error) = &running.by_error {
            return Err(asked_to_stop(Failure::user_error(error, &self.cells, &generated)));
        }
        if let Some(exit) = running.exit {
            return Err(Failure::exit(exit, &shared.known().lost_all(self.count)));
        }
        if interrupted && outcome.is_err() {
            return Err(Failure::plain(
                "Interrupted",
                "the compiler was stopped; nothing ran, and all variables are kept",
            ));
        }
        match outcome {
            Err(_) if self.evaluator.library_changed() => Err(Failure::plain("SetUp", COMPILED_ANEW)),
            Err(error) => Err(Failure::evcxr(&error, self.count, code, &shared.known())),
            Ok(outputs) => {
                shared.known().ran(self.count, code, variables);
                match not_asked {
                    Some(prompt) => Err(Failure::plain("StdinNotImplementedError", not_implemented(&prompt))),
                    None => {
                        Ok(Success { timed: options.timed || outputs.timing.is_some(), answer: answer_of(outputs) })
                    }
                }
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

/// How a cell gets a line of text from whoever sits before it.
struct Input<'a> {
    outbox: &'a Outbox,
    cell: &'a Cell,
    shared: &'a Shared,
    /// The prompt that could not be shown.
    refused: std::cell::Cell<Option<String>>,
}

impl Input<'_> {
    fn read(&self, prompt: String, password: bool) -> String {
        if !self.cell.execute.allow_stdin {
            self.refused.set(Some(prompt));
            return String::new();
        }
        let patient = || !self.shared.interrupt.made();
        self.outbox.ask(InputRequest { prompt, password }, &self.cell.request, patient).unwrap_or_default()
    }
}

fn not_implemented(prompt: &str) -> String {
    format!("the cell asked for input ({prompt:?}), and this front end has nobody to ask; it got an empty line")
}

fn answer_of(outputs: EvalOutputs) -> Option<Media> {
    let contents = outputs.content_by_mime_type.into_iter();
    let data: Map<_, _> = contents.map(|(mime, text)| (mime, Value::String(text))).collect();
    (!data.is_empty()).then(|| media(data)).flatten()
}

/// Expressions for a front end's own use are answered one by one, each with why it has no value.
fn refused(expressions: Option<&HashMap<String, String>>) -> HashMap<String, ExpressionResult> {
    let refuse = |(name, text): (&String, &String)| {
        let evalue = format!("user expressions are not evaluated in Rust: run `{text}` as a cell");
        let ename = "NotImplemented".to_owned();
        (name.clone(), ExpressionResult::Error { traceback: vec![format!("{ename}: {evalue}")], ename, evalue })
    };
    expressions.into_iter().flatten().map(refuse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_expressions_are_refused_one_by_one() {
        let asked = HashMap::from([("a".to_owned(), "1 + 1".to_owned())]);
        assert!(
            matches!(&refused(Some(&asked))["a"], ExpressionResult::Error { evalue, .. } if evalue.contains("1 + 1"))
        );
        assert!(refused(None).is_empty());
    }
}
