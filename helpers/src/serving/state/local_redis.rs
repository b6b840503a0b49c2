//! A Redis of one's own, for a lesson or a test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::interrupt::check_interrupt;

const PROGRAM: &str = "redis-server";
/// A Redis that does not answer by then is given up.
const START: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);
/// Kills its program (and only then ends) when its standard input is closed, which happens however this process ends.
const SUPERVISOR: &str = r#""$0" "$@" & echo $!; read -r _; kill -9 $!; wait $!"#;

/// A Redis that runs in memory alone, is reached from this machine alone, and is killed with this value.
///
/// It needs the program `redis-server`, such as from Debian's package `redis-server`.
#[derive(Debug)]
pub struct LocalRedis {
    supervisor: Option<Child>,
    process_id: u32,
    port: u16,
    folder: TempDir,
}

impl LocalRedis {
    /// The program, where it is installed.
    pub fn installed() -> Option<PathBuf> {
        std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(PROGRAM)).find(|path| path.is_file())
    }

    /// Starts one on a free port and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Service`] when `redis-server` is not installed, or does not answer within 10 seconds.
    pub fn start() -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(|cause| Error::io("looking for a free port", cause))?.port();
        let folder = TempDir::new().map_err(|cause| Error::io("making a folder for Redis", cause))?;
        let mut redis = Self { supervisor: None, process_id: 0, port, folder };
        redis.restart()?;
        Ok(redis)
    }

    /// Such as `redis://127.0.0.1:6379`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The number of the process.
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Kills it (SIGKILL), as a crash would, with all that it kept.
    ///
    /// # Errors
    /// [`Error::Io`] when the system does not say that it has ended.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            supervisor.wait().map_err(|cause| Error::io("waiting for the end of Redis", cause))?;
        }
        Ok(())
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Errors
    /// As for [`LocalRedis::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let program = Self::installed().ok_or_else(|| {
            Error::Service(format!(
                "{PROGRAM} is not installed, so there is no Redis to start; install it (Debian and Ubuntu: sudo apt install \
                 {PROGRAM}), or use the embedded store"
            ))
        })?;
        let log = self.folder.path().join("redis.log");
        let mut supervisor =
            self.command(&program, &log).spawn().map_err(|cause| Error::io("starting Redis", cause))?;
        let mut line = String::new();
        if let Some(output) = supervisor.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|cause| Error::io("starting Redis", cause))?;
        }
        self.supervisor = Some(supervisor);
        self.process_id = line.trim().parse().unwrap_or(0);
        let start = Instant::now();
        while !self.answers() {
            check_interrupt()?;
            if start.elapsed() > START {
                self.kill()?;
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::Service(format!(
                    "{} does not answer at port {} after {} s; it wrote: {}",
                    program.display(),
                    self.port,
                    START.as_secs(),
                    log.trim()
                )));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn command(&self, program: &Path, log: &Path) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(SUPERVISOR).arg(program).args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"]);
        command.arg("--dir").arg(self.folder.path()).arg("--logfile").arg(log);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Whether it, and no other Redis, answers at the port.
    fn answers(&self) -> bool {
        let ask = || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, LOOK)?;
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            stream.write_all(b"INFO server\r\nQUIT\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        ask().is_ok_and(|answer| answer.lines().any(|line| line == format!("process_id:{}", self.process_id)))
    }
}

impl Drop for LocalRedis {
    fn drop(&mut self) {
        // Its input is closed in any case.
        let _ = self.kill();
    }
}
