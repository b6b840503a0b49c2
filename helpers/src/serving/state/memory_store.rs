//! Sessions in the memory of the process itself.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::MOST_KEYS;
use super::session_store::Expected;
use crate::error::{Error, Result};

/// They are lost with the process.
#[derive(Debug, Default)]
pub(super) struct MemoryStore(Mutex<HashMap<String, Vec<u8>>>);

impl MemoryStore {
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().get(key).cloned()
    }

    pub(super) fn put(&self, key: &str, expected: &Expected, value: &[u8]) -> Result<bool> {
        let mut sessions = self.lock();
        match sessions.get_mut(key) {
            Some(there) if expected.is_met_by(Some(there)) => *there = value.to_vec(),
            None if expected.is_met_by(None) => {
                if sessions.len() as u64 >= MOST_KEYS {
                    return Err(Error::Service(too_many_keys()));
                }
                sessions.insert(key.to_string(), value.to_vec());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<u8>>> {
        // Nothing in here can fail half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn too_many_keys() -> String {
    format!("{MOST_KEYS} sessions are kept already, and no more fit; use a Redis for as many")
}
