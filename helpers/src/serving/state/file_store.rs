//! Sessions in a redb database: in a file, or in memory for a store that may forget.
//!
//! A write to a file is answered when it is on the disk (fsync), so it survives the death of the process and of the machine.
//! Such a commit takes a disk some milliseconds; so one thread writes, and commits all writes together that wait for it.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, ReadableTable, ReadableTableMetadata, TableDefinition};
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
    database: Arc<Database>,
    /// None only at the end.
    writes: Option<mpsc::Sender<Write>>,
    writer: Option<JoinHandle<()>>,
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
        let database = Database::create(path).map_err(|cause| match cause {
            DatabaseError::DatabaseAlreadyOpen => Error::data(
                path,
                "is used by another process; give each replica a file of its own, or all the same StateServer",
            ),
            DatabaseError::Storage(redb::StorageError::Io(cause))
                if cause.kind() != std::io::ErrorKind::InvalidData =>
            {
                Error::io(format!("opening the sessions in {}", path.display()), cause)
            }
            cause => {
                Error::data(path, format!("is not a store of sessions, or damaged ({cause}); choose another name"))
            }
        })?;
        Self::start(database)
    }

    /// A database in memory.
    pub(super) fn in_memory() -> Result<Self> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        Self::start(database.map_err(|cause| failed("making a store", &cause))?)
    }

    fn start(database: Database) -> Result<Self> {
        let database = Arc::new(database);
        // So that it can be read before the first write.
        let begun = database.begin_write().map_err(|cause| failed("opening", &cause))?;
        begun.open_table(SESSIONS).map_err(|cause| failed("opening", &cause))?;
        begun.commit().map_err(|cause| failed("opening", &cause))?;
        let (writes, waiting) = mpsc::channel(4 * MOST_WRITES);
        let its = database.clone();
        let writer = std::thread::Builder::new()
            .name("onramp-sessions".to_string())
            .spawn(move || write_all(&its, waiting))
            .map_err(|cause| Error::io("starting a thread for the sessions", cause))?;
        Ok(Self { database, writes: Some(writes), writer: Some(writer) })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let (database, key) = (self.database.clone(), key.to_string());
        // A page that is not in memory comes from the disk.
        let read = tokio::task::spawn_blocking(move || read(&database, &key)).await;
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

fn read(database: &Database, key: &str) -> Result<Option<Vec<u8>>> {
    use redb::ReadableDatabase;
    let begun = database.begin_read().map_err(|cause| failed("reading", &cause))?;
    let sessions = begun.open_table(SESSIONS).map_err(|cause| failed("reading", &cause))?;
    let value = sessions.get(key).map_err(|cause| failed("reading", &cause))?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn write_all(database: &Database, mut waiting: mpsc::Receiver<Write>) {
    let mut batch = Vec::new();
    while waiting.blocking_recv_many(&mut batch, MOST_WRITES) > 0 {
        match commit(database, &batch) {
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
fn commit(database: &Database, batch: &[Write]) -> Result<Vec<Result<bool>>> {
    let begun = database.begin_write().map_err(|cause| failed("writing", &cause))?;
    let mut results = Vec::with_capacity(batch.len());
    {
        let mut sessions = begun.open_table(SESSIONS).map_err(|cause| failed("writing", &cause))?;
        for write in batch {
            let there = sessions.get(&*write.key).map_err(|cause| failed("writing", &cause))?;
            let there = there.map(|value| value.value().to_vec());
            if !write.expected.is_met_by(there.as_deref()) {
                results.push(Ok(false));
                continue;
            }
            if there.is_none() && sessions.len().map_err(|cause| failed("writing", &cause))? >= MOST_KEYS {
                results.push(Err(Error::Service(too_many_keys())));
                continue;
            }
            sessions.insert(&*write.key, &*write.value).map_err(|cause| failed("writing", &cause))?;
            results.push(Ok(true));
        }
    }
    begun.commit().map_err(|cause| failed("writing", &cause))?;
    Ok(results)
}

fn failed(doing: &str, cause: &dyn std::fmt::Display) -> Error {
    Error::Service(format!("{doing} the sessions failed: {cause}"))
}
