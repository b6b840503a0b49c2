//! Jupyter's messages: the five sockets, and who answers what.
//!
//! Everything but running cells is answered here, at once; cells go to the [`Evaluator`]'s thread in order. Questions
//! about code go there, too, while it is idle, and to the [`Assistant`] while it is not.

use crate::assistant::{Assistant, Question};
use crate::evaluator::Evaluator;
use crate::interrupt::Interrupter;
use crate::running::Shared;
use crate::session::{Cell, Work};
use crate::source::{self, Completeness};
use crate::state_folder::StateFolder;
use crate::wire;
use anyhow::{Context, Result};
use jupyter_protocol::{
    CodeMirrorMode, CommClose, CommInfoReply, ConnectionInfo, HelpLink, HistoryReply, InputRequest, InterruptReply,
    IoPubWelcome, IsCompleteReply, JupyterMessage, JupyterMessageContent, KernelInfoReply, LanguageInfo, ReplyStatus,
    ShutdownReply, Status,
};
use jupyter_zmq_client::{
    KernelControlConnection, KernelIoPubXPubConnection, KernelStdinConnection, RouterRecvConnection,
    RouterSendConnection, SubscriptionEvent, create_kernel_control_connection, create_kernel_heartbeat_connection,
    create_kernel_iopub_xpub_connection, create_kernel_shell_connection, create_kernel_stdin_connection,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A message that cannot be read is passed over; a socket that fails again and again does not keep a core busy.
const AFTER_BAD_MESSAGE: Duration = Duration::from_millis(10);
/// Between two looks at whether an input is still waited for.
const INPUT_POLL: Duration = Duration::from_millis(50);
/// Between two looks at whether the Jupyter that started the kernel is still there.
const PARENT_POLL: Duration = Duration::from_secs(1);
/// Time for the last messages to leave before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The protocol's version that is spoken here.
const PROTOCOL: &str = "5.4";

/// Where messages leave from; any thread may send.
#[derive(Debug, Clone)]
pub struct Outbox {
    iopub: UnboundedSender<JupyterMessage>,
    shell: UnboundedSender<JupyterMessage>,
    stdin: UnboundedSender<JupyterMessage>,
    /// What clients answered to [`Outbox::ask`].
    inputs: crossbeam_channel::Receiver<String>,
}

impl Outbox {
    /// One whose messages go nowhere.
    pub fn nowhere() -> Self {
        let to_nobody = || unbounded_channel().0;
        Self { iopub: to_nobody(), shell: to_nobody(), stdin: to_nobody(), inputs: crossbeam_channel::never() }
    }

    /// To everybody who watches the kernel.
    pub fn publish(&self, message: JupyterMessage) {
        // The receiver is gone only while the process ends.
        let _ = self.iopub.send(ours(message));
    }

    /// To the one who asked on the shell channel.
    pub fn reply(&self, message: JupyterMessage) {
        let _ = self.shell.send(ours(message));
    }

    /// The whole answer to a request: the kernel is busy with it, replies, and is idle again.
    pub fn answer(&self, request: &JupyterMessage, reply: Option<JupyterMessage>) {
        self.publish(Status::busy().as_child_of(request));
        if let Some(reply) = reply {
            self.reply(reply);
        }
        self.publish(Status::idle().as_child_of(request));
    }

    /// Asks the one who sent `request` for a line of text, and waits for it as long as `patient` says so.
    pub fn ask(&self, asked: InputRequest, request: &JupyterMessage, patient: impl Fn() -> bool) -> Option<String> {
        // An answer that came after its question was given up belongs to nobody.
        while self.inputs.try_recv().is_ok() {}
        let _ = self.stdin.send(ours(asked.as_child_of(request)));
        while patient() {
            if let Ok(line) = self.inputs.recv_timeout(INPUT_POLL) {
                return Some(line);
            }
        }
        None
    }
}

/// With what a header says of its sender.
fn ours(mut message: JupyterMessage) -> JupyterMessage {
    message.header.version = PROTOCOL.into();
    message.header.username = "kernel".into();
    message
}

/// Serves one Jupyter client until it asks for the end.
pub fn run(connection: &Path, helpers: &Path, state: &Path) -> Result<()> {
    let info = std::fs::read_to_string(connection)
        .with_context(|| format!("cannot read the connection file {}", connection.display()))?;
    let info: ConnectionInfo = serde_json::from_str(&info)
        .with_context(|| format!("the connection file {} is not one", connection.display()))?;
    // A terminal's Ctrl-C goes to Jupyter, which sends an interrupt when it wants one.
    // SAFETY: a plain system call.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };

    let (iopub, published) = unbounded_channel();
    let (shell, replies) = unbounded_channel();
    let (stdin, questions) = unbounded_channel();
    let (input, inputs) = crossbeam_channel::unbounded();
    let outbox = Outbox { iopub, shell, stdin, inputs };
    let state = StateFolder::new(state, helpers)?;
    let assistant = Assistant::new(&state);
    // The environment is changed in here, so this comes before the first thread.
    let evaluator = Evaluator::install(state, outbox.clone())?;
    let interrupter = evaluator.interrupter();
    let shared = evaluator.shared().clone();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let session = format!("{:032x}", std::process::id());
        let mut heartbeat = create_kernel_heartbeat_connection(&info).await?;
        tokio::spawn(async move { while heartbeat.single_heartbeat().await.is_ok() {} });
        let stdin = create_kernel_stdin_connection(&info, &session).await?;
        let iopub = create_kernel_iopub_xpub_connection(&info, &session).await?;
        let (sender, receiver) = create_kernel_shell_connection(&info, &session).await?.split();
        let control = create_kernel_control_connection(&info, &session).await?;
        tokio::spawn(publish(iopub, published));
        tokio::spawn(send_replies(sender, replies));
        tokio::spawn(ask_for_input(stdin, questions, input));
        outbox.publish(Status::starting().into());
        let work = evaluator.start()?;
        tokio::spawn(serve_shell(receiver, Desk { outbox: outbox.clone(), work, shared: shared.clone(), assistant }));
        tokio::select! {
            () = serve_control(control, outbox, &shared, interrupter.clone()) => {}
            () = orphaned() => eprintln!("onramp-kernel: the Jupyter that started this kernel is gone; so it ends"),
        }
        tokio::time::sleep(LAST_WORDS).await;
        anyhow::Ok(())
    })?;
    interrupter.end();
    // Threads that compile or run have nothing left to do.
    std::process::exit(0)
}

/// Returns when the Jupyter that started this process has ended without a word.
async fn orphaned() {
    // Set by Jupyter when it starts a kernel of its own; one that is started by hand may outlive its shell.
    if std::env::var_os("JPY_PARENT_PID").is_none() {
        return std::future::pending().await;
    }
    let parent = nix::unistd::getppid();
    while nix::unistd::getppid() == parent {
        tokio::time::sleep(PARENT_POLL).await;
    }
}

async fn publish(mut iopub: KernelIoPubXPubConnection, mut messages: UnboundedReceiver<JupyterMessage>) {
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => { let _ = iopub.send(message).await; }
                None => return,
            },
            subscription = iopub.recv_subscription() => {
                if let Ok(SubscriptionEvent::Subscribe(topic)) = subscription {
                    let _ = iopub.send(IoPubWelcome::new(topic).into()).await;
                }
            }
        }
    }
}

async fn send_replies(mut shell: RouterSendConnection, mut replies: UnboundedReceiver<JupyterMessage>) {
    while let Some(reply) = replies.recv().await {
        // A client that has left does not read its reply.
        let _ = shell.send(reply).await;
    }
}

/// Questions for a line of text go out, and answers come in, on a channel of their own.
async fn ask_for_input(
    stdin: KernelStdinConnection,
    mut questions: UnboundedReceiver<JupyterMessage>,
    answers: crossbeam_channel::Sender<String>,
) {
    let (mut sender, mut receiver) = stdin.split();
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            let _ = sender.send(question).await;
        }
    });
    loop {
        match wire::read(&mut receiver).await {
            Ok(message) => {
                if let JupyterMessageContent::InputReply(reply) = message.content {
                    let _ = answers.send(reply.value);
                }
            }
            Err(error) => refuse("stdin", &error).await,
        }
    }
}

/// A message that cannot be read, or is not signed with the connection's key, is passed over.
async fn refuse(channel: &str, error: &anyhow::Error) {
    eprintln!("onramp-kernel: a message on the {channel} channel was refused: {error:#}");
    tokio::time::sleep(AFTER_BAD_MESSAGE).await;
}

/// What it takes to deal with requests.
struct Desk {
    outbox: Outbox,
    work: crossbeam_channel::Sender<Work>,
    shared: Arc<Shared>,
    assistant: Assistant,
}

async fn serve_shell(mut shell: RouterRecvConnection, desk: Desk) {
    loop {
        match wire::read(&mut shell).await {
            Ok(request) => desk.deal_with(request),
            Err(error) => refuse("shell", &error).await,
        }
    }
}

impl Desk {
    fn deal_with(&self, request: JupyterMessage) {
        if let JupyterMessageContent::ExecuteRequest(execute) = &request.content {
            self.shared.waiting.fetch_add(1, Ordering::SeqCst);
            let cell = Cell { execute: execute.clone(), request: request.clone() };
            // The receiver is gone only while the process ends.
            let _ = self.work.send(Work::Cell(Box::new(cell)));
        } else if let Some(question) = Question::of(&request) {
            self.look_into(question, request);
        } else {
            self.outbox.answer(&request, answer(&request, &self.shared));
            if let JupyterMessageContent::CommOpen(open) = &request.content {
                // No cell can be at the other end of it.
                let close = CommClose { comm_id: open.comm_id.clone(), data: Default::default() };
                self.outbox.publish(close.as_child_of(&request));
            }
        }
    }

    fn look_into(&self, question: Question, request: JupyterMessage) {
        if self.shared.waiting.load(Ordering::SeqCst) == 0 {
            let _ = self.work.send(Work::Question(question, Box::new(request)));
            return;
        }
        let (assistant, outbox, shared) = (self.assistant.clone(), self.outbox.clone(), self.shared.clone());
        tokio::task::spawn_blocking(move || {
            let before = shared.known().text();
            let reply = assistant.ask(&before, &question).reply(&request);
            outbox.answer(&request, Some(reply));
        });
    }
}

/// The answer to what needs no cell.
fn answer(request: &JupyterMessage, shared: &Shared) -> Option<JupyterMessage> {
    let status = ReplyStatus::Ok;
    Some(match &request.content {
        JupyterMessageContent::KernelInfoRequest(_) => kernel_info().as_child_of(request),
        JupyterMessageContent::IsCompleteRequest(asked) => match source::completeness(&asked.code) {
            Completeness::Complete => IsCompleteReply::complete(),
            Completeness::Incomplete(indent) => IsCompleteReply::incomplete(" ".repeat(indent)),
            Completeness::Invalid => IsCompleteReply::invalid(),
        }
        .as_child_of(request),
        JupyterMessageContent::HistoryRequest(asked) => {
            HistoryReply { history: shared.known().history.answer(asked), status, error: None }.as_child_of(request)
        }
        JupyterMessageContent::CommInfoRequest(_) => {
            CommInfoReply { status, comms: Default::default(), error: None }.as_child_of(request)
        }
        _ => return None,
    })
}

async fn serve_control(
    mut control: KernelControlConnection,
    outbox: Outbox,
    shared: &Shared,
    interrupter: Interrupter,
) {
    loop {
        let request = match wire::read(&mut control).await {
            Ok(request) => request,
            Err(error) => {
                refuse("control", &error).await;
                continue;
            }
        };
        outbox.publish(Status::busy().as_child_of(&request));
        let (reply, end) = match &request.content {
            JupyterMessageContent::ShutdownRequest(shutdown) => {
                let reply = ShutdownReply { restart: shutdown.restart, status: ReplyStatus::Ok, error: None };
                (Some(reply.as_child_of(&request)), true)
            }
            JupyterMessageContent::InterruptRequest(_) => {
                interrupter.interrupt();
                let reply = InterruptReply { status: ReplyStatus::Ok, error: None };
                (Some(reply.as_child_of(&request)), false)
            }
            _ => (answer(&request, shared), false),
        };
        if let Some(reply) = reply {
            let _ = control.send(ours(reply)).await;
        }
        outbox.publish(Status::idle().as_child_of(&request));
        if end {
            return;
        }
    }
}

fn kernel_info() -> KernelInfoReply {
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: PROTOCOL.into(),
        implementation: "onramp".into(),
        implementation_version: env!("CARGO_PKG_VERSION").into(),
        language_info: LanguageInfo {
            name: "rust".into(),
            version: env!("CARGO_PKG_RUST_VERSION").into(),
            mimetype: Some("text/x-rust".into()),
            file_extension: Some(".rs".into()),
            pygments_lexer: Some("rust".into()),
            codemirror_mode: Some(CodeMirrorMode::Simple("rust".into())),
            nbconvert_exporter: Some("script".into()),
        },
        banner: concat!("Onramp: Rust in Jupyter, version ", env!("CARGO_PKG_VERSION")).into(),
        help_links: vec![
            HelpLink { text: "The Rust book".into(), url: "https://doc.rust-lang.org/book/".into() },
            HelpLink { text: "Rust's standard library".into(), url: "https://doc.rust-lang.org/std/".into() },
        ],
        debugger: false,
        error: None,
    }
}
