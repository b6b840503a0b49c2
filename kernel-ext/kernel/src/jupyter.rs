//! Jupyter's messages: the five sockets, and who answers what.
//!
//! Everything but running cells is answered here, at once; cells go to the [`Evaluator`]'s thread in order.

use crate::evaluator::Evaluator;
use crate::running::Interrupter;
use crate::session::Cell;
use crate::state_folder::StateFolder;
use anyhow::{Context, Result};
use jupyter_protocol::{
    CodeMirrorMode, CommInfoReply, CompleteReply, ConnectionInfo, HelpLink, HistoryReply, InspectReply, InterruptReply,
    IoPubWelcome, IsCompleteReply, IsCompleteReplyStatus, JupyterMessage, JupyterMessageContent, KernelInfoReply,
    LanguageInfo, Media, ReplyStatus, ShutdownReply, Status,
};
use jupyter_zmq_client::{
    KernelControlConnection, KernelIoPubXPubConnection, RouterRecvConnection, RouterSendConnection, SubscriptionEvent,
    create_kernel_control_connection, create_kernel_heartbeat_connection, create_kernel_iopub_xpub_connection,
    create_kernel_shell_connection, create_kernel_stdin_connection,
};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A message that cannot be read is passed over; a socket that fails again and again does not keep a core busy.
const AFTER_BAD_MESSAGE: Duration = Duration::from_millis(10);
/// Time for the last messages to leave before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Where messages leave from; any thread may send.
#[derive(Debug, Clone)]
pub struct Outbox {
    iopub: UnboundedSender<JupyterMessage>,
    shell: UnboundedSender<JupyterMessage>,
}

impl Outbox {
    /// One whose messages go nowhere.
    pub fn nowhere() -> Self {
        Self { iopub: unbounded_channel().0, shell: unbounded_channel().0 }
    }

    /// To everybody who watches the kernel.
    pub fn publish(&self, message: JupyterMessage) {
        // The receiver is gone only while the process ends.
        let _ = self.iopub.send(message);
    }

    /// To the one who asked on the shell channel.
    pub fn reply(&self, message: JupyterMessage) {
        let _ = self.shell.send(message);
    }
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
    let outbox = Outbox { iopub, shell };
    let state = StateFolder::new(state, helpers)?;
    // The environment is changed in here, so this comes before the first thread.
    let evaluator = Evaluator::install(state, outbox.clone())?;
    let interrupter = evaluator.interrupter();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let session = format!("{:032x}", std::process::id());
        let mut heartbeat = create_kernel_heartbeat_connection(&info).await?;
        tokio::spawn(async move { while heartbeat.single_heartbeat().await.is_ok() {} });
        let _stdin = create_kernel_stdin_connection(&info, &session).await?;
        let iopub = create_kernel_iopub_xpub_connection(&info, &session).await?;
        let (sender, receiver) = create_kernel_shell_connection(&info, &session).await?.split();
        let control = create_kernel_control_connection(&info, &session).await?;
        tokio::spawn(publish(iopub, published));
        tokio::spawn(send_replies(sender, replies));
        outbox.publish(Status::starting().into());
        let cells = evaluator.start()?;
        tokio::spawn(serve_shell(receiver, outbox.clone(), cells));
        serve_control(control, outbox, interrupter.clone()).await;
        tokio::time::sleep(LAST_WORDS).await;
        anyhow::Ok(())
    })?;
    interrupter.end();
    // Threads that compile or run have nothing left to do.
    std::process::exit(0)
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

async fn serve_shell(mut shell: RouterRecvConnection, outbox: Outbox, cells: crossbeam_channel::Sender<Cell>) {
    loop {
        let request = match shell.read().await {
            Ok(request) => request,
            Err(error) => {
                eprintln!("onramp-kernel: a message on the shell channel could not be read: {error}");
                tokio::time::sleep(AFTER_BAD_MESSAGE).await;
                continue;
            }
        };
        if let JupyterMessageContent::ExecuteRequest(execute) = &request.content {
            let cell = Cell { execute: execute.clone(), request: request.clone() };
            if cells.send(cell).is_err() {
                return;
            }
            continue;
        }
        outbox.publish(Status::busy().as_child_of(&request));
        if let Some(reply) = answer(&request) {
            outbox.reply(reply);
        }
        outbox.publish(Status::idle().as_child_of(&request));
    }
}

/// The answer to what needs no cell.
fn answer(request: &JupyterMessage) -> Option<JupyterMessage> {
    let status = ReplyStatus::Ok;
    Some(match &request.content {
        JupyterMessageContent::KernelInfoRequest(_) => kernel_info().as_child_of(request),
        JupyterMessageContent::CompleteRequest(r) => CompleteReply {
            matches: Vec::new(),
            cursor_start: r.cursor_pos,
            cursor_end: r.cursor_pos,
            metadata: Default::default(),
            status,
            error: None,
        }
        .as_child_of(request),
        JupyterMessageContent::InspectRequest(_) => {
            InspectReply { found: false, data: Media::default(), metadata: Default::default(), status, error: None }
                .as_child_of(request)
        }
        JupyterMessageContent::IsCompleteRequest(_) => {
            IsCompleteReply { status: IsCompleteReplyStatus::Unknown, indent: String::new() }.as_child_of(request)
        }
        JupyterMessageContent::HistoryRequest(_) => {
            HistoryReply { history: Vec::new(), status, error: None }.as_child_of(request)
        }
        JupyterMessageContent::CommInfoRequest(_) => {
            CommInfoReply { status, comms: Default::default(), error: None }.as_child_of(request)
        }
        _ => return None,
    })
}

async fn serve_control(mut control: KernelControlConnection, outbox: Outbox, interrupter: Interrupter) {
    loop {
        let Ok(request) = control.read().await else {
            tokio::time::sleep(AFTER_BAD_MESSAGE).await;
            continue;
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
            _ => (answer(&request), false),
        };
        if let Some(reply) = reply {
            let _ = control.send(reply).await;
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
        protocol_version: "5.4".into(),
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
