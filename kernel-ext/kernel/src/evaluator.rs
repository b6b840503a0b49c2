//! Builds evcxr's context, with everything around it that cells need, and starts the thread that runs them.

use crate::environment;
use crate::interrupt::{Interrupter, Request};
use crate::jupyter::Outbox;
use crate::running::{Shared, listen};
use crate::session::{Session, Work};
use crate::stand_in::metadata::WITHOUT_STANDARD;
use crate::state_folder::{StateFolder, Tools};
use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use evcxr::{CommandContext, EvalContext};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex};
use std::time::SystemTime;

/// Cells compile quickly and run well enough at this level; the heavy work is in the helper library.
const OPT_LEVEL: &str = "1";
/// What every kernel does before its first cell, so that a learner does not wait for it: meets a first `?` and infers
/// the type of a first variable, in one cell with the dependency on the helper crate, and drops the variable again.
const WARM_UP: [&str; 2] = ["let onramp_warm_up = \"1\".parse::<String>()?;", "drop(onramp_warm_up);"];

/// Runs cells; see [`Evaluator::start`].
pub struct Evaluator {
    state: StateFolder,
    outbox: Outbox,
    shared: Arc<Shared>,
    listener: UnixListener,
    /// The kernel's folder, kept open because [`Self::socket`] goes through it.
    _open_folder: File,
    /// Where relays connect.
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
        // A socket's path has 108 bytes at most, and the folder's may be longer than that.
        let open_folder = File::open(folder).context("cannot open the kernel's folder")?;
        let socket = PathBuf::from(format!("/proc/{}/fd/{}/relay", std::process::id(), open_folder.as_raw_fd()));
        let listener = UnixListener::bind(&socket).context("cannot make the relay's socket")?;
        let shared = Shared {
            running: Mutex::default(),
            synced: Condvar::new(),
            relay: Mutex::default(),
            busy: AtomicBool::new(false),
            cell: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            known: Mutex::default(),
            interrupt: Request::new(folder).context("cannot write into the kernel's folder")?,
            folder: folder.into(),
        };
        Ok(Self {
            state,
            outbox,
            shared: Arc::new(shared),
            listener,
            _open_folder: open_folder,
            socket,
            broken: None,
            library: None,
        })
    }

    /// A handle that stops what runs.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(self.shared.clone())
    }

    /// Where messages to clients go.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What is known of the cell that runs.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Why no cell can run, when that is so.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Whether new cells would be compiled for another library than the one that is loaded.
    pub fn library_changed(&self) -> bool {
        let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        self.library.as_ref().is_some_and(|(path, then)| changed(path) != Some(*then))
    }

    /// Starts to warm up, and gives the door for work, which waits until that is done.
    pub fn start(self) -> Result<Sender<Work>> {
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
            let hide = self.shared.folder.join(WITHOUT_STANDARD);
            std::fs::write(&hide, "").with_context(|| format!("cannot write {}", hide.display()))?;
            let made = EvalContext::with_subprocess_command(relay).map_err(explain);
            std::fs::remove_file(&hide)?;
            let (mut context, outputs) = made?;
            context.set_opt_level(OPT_LEVEL).map_err(explain)?;
            (CommandContext::with_eval_context(context), outputs)
        };
        // Everything comes through the relay; these would only fill up.
        std::thread::spawn(move || outputs.stdout.iter().for_each(drop));
        std::thread::spawn(move || outputs.stderr.iter().for_each(drop));
        let helpers = format!(":dep onramp = {{ path = \"{}\" }}", self.state.helpers.display());
        for code in [&format!("{helpers}\n{}", WARM_UP[0]), WARM_UP[1]] {
            context.execute(code).map_err(explain)?;
        }
        Ok(context)
    }
}
