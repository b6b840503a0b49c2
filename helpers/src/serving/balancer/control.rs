//! Giving orders to a balancer that runs, over a socket in a folder that only this user can enter.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{BalancerLoad, Program};
use crate::error::{Error, Result};

/// The socket's name in its folder.
pub(super) const SOCKET: &str = "control";
/// An order that is not answered by then is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// A socket's path must be shorter than 108 bytes, and HAProxy adds a number and a word to it while it starts.
const LONGEST_FOLDER: usize = 70;

/// A balancer's process, whichever program it is. It ends when this value goes.
pub(super) trait Process: Debug + Send {
    fn program(&self) -> Program;
    fn address(&self) -> &str;
    fn process_id(&self) -> u32;
    fn is_running(&mut self) -> Result<bool>;
    fn log(&self) -> String;
    /// Gives a new backend its share.
    fn add(&self, number: usize, address: &str) -> Result<()>;
    /// Sends nothing more to a backend; what it has it finishes.
    fn pause(&self, number: usize) -> Result<()>;
    /// Sends requests to a paused backend again, at this address.
    fn resume(&self, number: usize, address: &str) -> Result<()>;
    /// Forgets a backend that is paused and has nothing more to do; false when there still are connections to it.
    fn remove(&self, number: usize) -> Result<bool>;
    fn load(&self) -> Result<BalancerLoad>;
    /// Finishes what is under way and ends.
    fn stop(&mut self) -> Result<()>;
}

/// A folder for the socket and what else belongs to one run.
pub(super) fn folder() -> Result<TempDir> {
    let usual = std::env::temp_dir();
    let parent = if usual.as_os_str().as_bytes().len() <= LONGEST_FOLDER { usual } else { "/tmp".into() };
    let made = tempfile::Builder::new().prefix("onramp-balancer-").tempdir_in(&parent);
    made.map_err(|cause| Error::io(format!("making a folder for a balancer in {}", parent.display()), cause))
}

/// Sends one line and returns all that comes back.
pub(super) fn ask(socket: &Path, order: &str) -> Result<String> {
    let answered = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{order}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answered().map_err(|cause| Error::io(format!("giving the balancer the order '{order}'"), cause))
}
