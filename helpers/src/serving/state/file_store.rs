//! Sessions in a redb database: in a file, or in memory for a store that may forget.
//!
//! A write to a file is answered when it is on the disk (fsync), so it survives the death of the process and of the machine.
//! Such a commit takes a disk some milliseconds; so one thread writes, and commits all writes together that wait for it.
//!
//! A disk that fails, most often because it is full, closes the database; the next call opens it again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::key::MOST_KEYS;
use super::memory_store::too_many_keys;
use super::session_store::Expected;
use crate::error::{Error, Result};

const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
/// In one commit.
const MOST_WRITES: usize = 256;

/// Sessions in a database.
pub(super) struct FileStore {
    file: Arc<DatabaseFile>,
    /// None only at the end.
    writes: Option<mpsc::Sender<Write>>,
    writer: Option<JoinHandle<()>>,
}

/// A database, and the way to open it again.
struct DatabaseFile {
    /// None in memory, where nothing fails.
    path: Option<PathBuf>,
    /// None from a failure of the disk on until the next call.
    open: RwLock<Option<Database>>,
}

struct Write {
    key: String,
    expected: Expected,
    value: Vec<u8>,
    done: oneshot::Sender<Result<bool>>,
}

impl FileStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`Error::Data`] when it is no database, damaged, or used by another process; [`Error::Io`] when there is no such folder.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::start(Some(path.to_path_buf()), open(path)?)
    }

    /// A database in memory.
    pub(super) fn in_memory() -> Result<Self> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        Self::start(None, database.map_err(|cause| failed("making a store of", &cause))?)
    }

    fn start(path: Option<PathBuf>, database: Database) -> Result<Self> {
        let file = Arc::new(DatabaseFile { path, open: RwLock::new(Some(database)) });
        // So that it can be read before the first write.
        file.with("opening", |database| {
            let begun = database.begin_write()?;
            begun.open_table(SESSIONS)?;
            Ok(begun.commit()?)
        })?;
        let (writes, waiting) = mpsc::channel(4 * MOST_WRITES);
        let its = file.clone();
        let writer = std::thread::Builder::new()
            .name("onramp-sessions".to_string())
            .spawn(move || write_all(&its, waiting))
            .map_err(|cause| Error::io("starting a thread for the sessions", cause))?;
        Ok(Self { file, writes: Some(writes), writer: Some(writer) })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let (file, key) = (self.file.clone(), key.to_string());
        // A page that is not in memory comes from the disk.
        let read = tokio::task::spawn_blocking(move || file.with("reading", |database| read(database, &key))).await;
        read.map_err(|_| Error::Worker("reading a session broke off".to_string()))?
    }

    pub(super) async fn put(&self, key: &str, expected: Expected, value: &[u8]) -> Result<bool> {
        let ended = || Error::Service("the store of the sessions has ended".to_string());
        let (done, answer) = oneshot::channel();
        let write = Write { key: key.to_string(), expected, value: value.to_vec(), done };
        self.writes.as_ref().ok_or_else(ended)?.send(write).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.writes = None;
        // It finishes what waits; then the file is free for others.
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl DatabaseFile {
    /// Does this with the database, which is opened again before if the disk has failed. redb refuses everything after such a
    /// failure until then.
    fn with<T>(&self, doing: &str, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T> {
        self.open_again()?;
        let done = match &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            // The disk failed another call just now.
            None => Err(redb::Error::PreviousIo),
        };
        if self.path.is_some() && matches!(done, Err(redb::Error::Io(_) | redb::Error::PreviousIo)) {
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done.map_err(|cause| failed(doing, &cause))
    }

    fn open_again(&self) -> Result<()> {
        let closed = self.open.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if closed && let Some(path) = &self.path {
            let mut database = self.open.write().unwrap_or_else(PoisonError::into_inner);
            if database.is_none() {
                *database = Some(open(path)?);
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Database> {
    Database::create(path).map_err(|cause| match cause {
        DatabaseError::DatabaseAlreadyOpen => Error::data(
            path,
            "is used by another process; give each replica a file of its own, or all the same StateServer",
        ),
        DatabaseError::Storage(redb::StorageError::Io(cause)) if cause.kind() != std::io::ErrorKind::InvalidData => {
            Error::io(format!("opening the sessions in {}", path.display()), cause)
        }
        cause => Error::data(path, format!("is not a store of sessions, or damaged ({cause}); choose another name")),
    })
}

fn read(database: &Database, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    let begun = database.begin_read()?;
    let sessions = begun.open_table(SESSIONS)?;
    let value = sessions.get(key)?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn write_all(file: &DatabaseFile, mut waiting: mpsc::Receiver<Write>) {
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, MOST_WRITES) > 0 {
        match file.with("writing", |database| commit(database, &batch)) {
            Ok(results) => batch.drain(..).zip(results).for_each(|(write, result)| {
                // One that waits no longer has no use for it.
                let _ = write.done.send(result);
            }),
            Err(failure) => batch.drain(..).for_each(|write| {
                let _ = write.done.send(Err(Error::Service(failure.to_string())));
            }),
        }
    }
}

/// Does all in one transaction: for each whether it was done, or what was wrong with it alone.
fn commit(database: &Database, batch: &[Write]) -> Result<Vec<Result<bool>>, redb::Error> {
    let begun = database.begin_write()?;
    let mut results = Vec::with_capacity(batch.len());
    {
        let mut sessions = begun.open_table(SESSIONS)?;
        for write in batch {
            let there = sessions.get(&*write.key)?.map(|value| value.value().to_vec());
            if !write.expected.is_met_by(there.as_deref()) {
                results.push(Ok(false));
                continue;
            }
            if there.is_none() && sessions.len()? >= MOST_KEYS {
                results.push(Err(Error::Service(too_many_keys())));
                continue;
            }
            sessions.insert(&*write.key, &*write.value)?;
            results.push(Ok(true));
        }
    }
    begun.commit()?;
    Ok(results)
}

fn failed(doing: &str, cause: &dyn std::fmt::Display) -> Error {
    Error::Service(format!("{doing} the sessions failed: {cause}"))
}
