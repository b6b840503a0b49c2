//! Starting HAProxy, and giving it orders.

use std::convert::Infallible;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::configuration::{self, GROUP, LISTENER, TOKEN};
use super::statistics;
use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;
use crate::serving::balancer::control::{self, Process};
use crate::serving::balancer::{Balancer, BalancerLoad, Program};

/// Names the program's file, to use another one than the distribution's; empty for none.
const PROGRAM_VARIABLE: &str = "ONRAMP_HAPROXY";
const PROGRAM: &str = "haproxy";
/// Where distributions put it, which is not on every user's path.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// Older ones do not take all of the configuration.
const OLDEST: (u32, u32) = (2, 6);
const CONFIGURATION: &str = "haproxy.cfg";
const LOG: &str = "haproxy.log";
/// Of its log, so much is shown.
const SHOWN_LOG_BYTES: usize = 8 << 10;
const START: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// A HAProxy that runs as a child of this process.
#[derive(Debug)]
pub(in crate::serving::balancer) struct Haproxy {
    child: Child,
    balancer: Balancer,
    address: String,
    folder: TempDir,
    /// The system kills the child when the thread that started it ends, which waits for this to go.
    _starter: mpsc::Sender<Infallible>,
}

/// The installed program.
///
/// # Errors
/// [`Error::Worker`] when there is none, or an older one than 2.6.
pub(in crate::serving::balancer) fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    let found = match std::env::var_os(PROGRAM_VARIABLE) {
        Some(file) => Some(PathBuf::from(file)),
        None => folders.map(|folder| folder.join(PROGRAM)).find(|file| file.is_file()),
    };
    let missing =
        || Error::Worker("HAProxy is not installed; install the package haproxy, or use the embedded balancer".into());
    let program = found.filter(|file| file.is_file()).ok_or_else(missing)?;
    let output = Command::new(&program).arg("-v").output();
    let output = output.map_err(|cause| Error::io(format!("starting {}", program.display()), cause))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match version(&said) {
        Some(version) if version >= OLDEST => Ok(program),
        _ => Err(Error::Worker(format!(
            "{} is not HAProxy {}.{} or newer (it says '{}'); install a newer one, or use the embedded balancer",
            program.display(),
            OLDEST.0,
            OLDEST.1,
            said.lines().next().unwrap_or_default()
        ))),
    }
}

/// The two first numbers of `HAProxy version 2.6.12-1+deb12u4 2026/10/17`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_once("version ")?.1.split(['.', '-', ' ']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl Haproxy {
    pub(in crate::serving::balancer) fn start(balancer: &Balancer) -> Result<Self> {
        let program = find()?;
        let folder = control::folder()?;
        let listener = TcpListener::bind(&balancer.listener.address)
            .map_err(|cause| Error::io(format!("listening at {}", balancer.listener.address), cause))?;
        let address =
            listener.local_addr().map_err(|cause| Error::io("asking for the balancer's own address", cause))?;
        let address = address.to_string();
        let text = configuration::configuration(&balancer.clone().listen(&address));
        write(&folder.path().join(CONFIGURATION), &text)?;
        let mut command = command(&program, folder.path(), balancer, &listener)?;
        let output = command.arg("-c").stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = output.map_err(|cause| Error::io(format!("starting {}", program.display()), cause))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let alerts: Vec<&str> = said.lines().filter(|line| line.starts_with("[ALERT]")).collect();
            return Err(Error::Worker(format!("HAProxy refuses its configuration: {}", alerts.join("; "))));
        }
        // In the foreground.
        let mut command = self::command(&program, folder.path(), balancer, &listener)?;
        command.arg("-db");
        let (child, _starter) = start_to_end_with_this_process(command)?;
        let mut haproxy = Self { child, balancer: balancer.clone(), address, folder, _starter };
        haproxy.wait_until_it_listens()?;
        Ok(haproxy)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.load().is_err() {
            check_interrupt()?;
            if !self.is_running()? || start.elapsed() > START {
                return Err(Error::Worker(format!("HAProxy did not start. {}", self.log())));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn ask(&self, order: &str) -> Result<String> {
        control::ask(&self.folder.path().join(control::SOCKET), order)
    }

    /// Gives an order. HAProxy answers nothing when all is well, or something with this word in it.
    fn order(&self, order: &str, well: Option<&str>) -> Result<()> {
        let answer = self.ask(order)?;
        let answer = answer.trim();
        if answer.is_empty() || well.is_some_and(|well| answer.contains(well)) {
            return Ok(());
        }
        Err(Error::Service(format!("HAProxy answered the order '{order}' with '{answer}'")))
    }
}

impl Process for Haproxy {
    fn program(&self) -> Program {
        Program::Haproxy
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn is_running(&mut self) -> Result<bool> {
        let ended = self.child.try_wait().map_err(|cause| Error::io("asking for HAProxy's state", cause))?;
        Ok(ended.is_none())
    }

    fn log(&self) -> String {
        let log = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN_LOG_BYTES)..]).into_owned()
    }

    fn add(&self, number: usize, address: &str) -> Result<()> {
        let backend = format!("{GROUP}/{}", configuration::name(number));
        let settings = configuration::backend(&self.balancer, number, address);
        self.order(&format!("add server {backend} {settings}"), Some("registered"))?;
        self.order(&format!("enable health {backend}"), None)?;
        self.order(&format!("enable server {backend}"), None)
    }

    fn pause(&self, number: usize) -> Result<()> {
        // "drain" would still let the sessions that stick to it through.
        self.order(&format!("set server {GROUP}/{} state maint", configuration::name(number)), None)
    }

    fn resume(&self, number: usize, address: &str) -> Result<()> {
        let backend = format!("{GROUP}/{}", configuration::name(number));
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.order(&format!("set server {backend} addr {host} port {port}"), Some("chang"))?;
        self.order(&format!("set server {backend} state ready"), None)
    }

    fn remove(&self, number: usize) -> Result<bool> {
        match self.order(&format!("del server {GROUP}/{}", configuration::name(number)), Some("deleted")) {
            // Without a request; it closes them soon.
            Err(Error::Service(text)) if text.contains("still has connections") => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    fn load(&self) -> Result<BalancerLoad> {
        statistics::load(&self.balancer, &self.ask("show stat")?)
    }

    fn stop(&mut self) -> Result<()> {
        if self.is_running()? {
            // SAFETY: the child has not been waited for, so the number is still its own.
            unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGUSR1) };
        }
        // It takes no orders any more, and ends by itself once nothing is under way.
        let Balancer { sender_seconds, queue_seconds, answer_seconds, .. } = self.balancer;
        let longest = sender_seconds + queue_seconds + answer_seconds;
        let start = Instant::now();
        while self.is_running()? {
            check_interrupt()?;
            if start.elapsed().as_secs_f64() > longest {
                self.child
                    .kill()
                    .and_then(|()| self.child.wait())
                    .map_err(|cause| Error::io("ending HAProxy", cause))?;
                return Err(Error::Worker(format!("HAProxy did not end within {longest} s and was killed")));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // One that has ended can't be killed, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HAProxy with its configuration, in its folder, with the listening socket open.
fn command(program: &Path, folder: &Path, balancer: &Balancer, listener: &TcpListener) -> Result<Command> {
    let path = folder.join(LOG);
    let log = File::options().create(true).append(true).open(&path);
    let log = log.map_err(|cause| Error::io(format!("opening {}", path.display()), cause))?;
    let again = log.try_clone().map_err(|cause| Error::io(format!("opening {}", path.display()), cause))?;
    let handle = listener.as_raw_fd();
    let parent = std::process::id();
    let mut command = Command::new(program);
    command.arg("-f").arg(CONFIGURATION).current_dir(folder);
    command.env(LISTENER, handle.to_string()).env(TOKEN, balancer.listener.token.as_deref().unwrap_or_default());
    command.stdin(Stdio::null()).stdout(log).stderr(again);
    // SAFETY: between fork and exec these calls touch no memory of others and take no lock.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 || libc::fcntl(handle, libc::F_SETFD, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have ended just before.
            if libc::getppid() as u32 == parent { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
        });
    }
    Ok(command)
}

/// Starts a child whose command asks to be killed with its parent. For the system the parent is a thread, so it gets one
/// that lives as long as what is returned with it.
fn start_to_end_with_this_process(mut command: Command) -> Result<(Child, mpsc::Sender<Infallible>)> {
    let (starter, gone) = mpsc::channel::<Infallible>();
    let (started, child) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = started.send(command.spawn());
        let _ = gone.recv();
    });
    let child = child.recv().map_err(|_| Error::Worker("the thread that starts HAProxy ended".to_string()))?;
    Ok((child.map_err(|cause| Error::io("starting HAProxy", cause))?, starter))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|cause| Error::io(format!("writing {}", path.display()), cause))
}
