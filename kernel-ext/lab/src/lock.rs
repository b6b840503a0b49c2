//! Only one set-up at a time in one folder: two would write the same virtual environment.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// The lock, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct SetupLock {
    _file: File,
}

impl SetupLock {
    /// Takes the lock; when another set-up has it, says which process that is and waits for its end.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn acquire(path: &Path) -> Result<Self> {
        let problem = || format!("the lock file {} cannot be used", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(problem)?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).with_context(problem)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).with_context(problem)?;
                eprintln!(
                    "Another set-up is running in this folder (process {}); waiting until it has finished. Ctrl-C stops \
                     waiting and leaves it running.",
                    holder.trim()
                );
                file.lock().with_context(problem)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(problem),
        }
        file.set_len(0).with_context(problem)?;
        file.rewind().with_context(problem)?;
        write!(file, "{}", std::process::id()).with_context(problem)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_its_holder_and_is_free_again_when_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lab/setup.lock");
        let lock = SetupLock::acquire(&path).expect("the lock is free");
        assert_eq!(fs::read_to_string(&path).expect("the lock file"), std::process::id().to_string());
        let other = File::open(&path).expect("the lock file");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)), "somebody else could take a held lock");
        drop(lock);
        // A child that another test starts at this moment has the file open, too, until it becomes another program.
        let mut tries = (0..500).map(|_| std::thread::sleep(std::time::Duration::from_millis(10)));
        assert!(tries.any(|()| other.try_lock().is_ok()), "the lock stayed held after it was dropped");
    }
}
