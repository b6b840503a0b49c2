//! Which replica keeps a session, when sessions are shared out by a plain hash.
//!
//! Session s of n replicas belongs to number hash(s) mod n. When one of n dies, the sessions in its memory are lost: about 1 / n
//! of all. With one replica more or less, all but about 1 / n of the others move, too, which consistent hashing avoids.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The replica, from 0, that keeps this session. It is the same in each process and each version of the program.
///
/// ```
/// use onramp::serving::{lost_sessions, owner_of_session};
///
/// let sessions: Vec<String> = (0..1_000).map(|number| format!("session-{number}")).collect();
/// let lost = lost_sessions(&sessions, 4, 2)?;
/// assert!((200..=300).contains(&lost.len()));
/// assert!(lost.iter().all(|session| owner_of_session(session, 4).is_ok_and(|owner| owner == 2)));
/// # Ok::<(), onramp::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidInput`] without replicas.
pub fn owner_of_session(session: &str, replicas: usize) -> Result<usize> {
    if replicas == 0 {
        return Err(Error::invalid("sessions can't be shared out over 0 replicas; use at least 1"));
    }
    let digest: [u8; 32] = Sha256::digest(session.as_bytes()).into();
    let number = digest[..8].iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    Ok((number % replicas as u64) as usize)
}

/// The sessions that are lost with the memory of one of the replicas.
///
/// # Errors
/// [`Error::InvalidInput`] when there is no such replica.
pub fn lost_sessions(sessions: &[String], replicas: usize, killed: usize) -> Result<Vec<String>> {
    if killed >= replicas {
        return Err(Error::invalid(format!(
            "there is no replica {killed} of {replicas} that could be killed; they are counted from 0"
        )));
    }
    let mut lost = Vec::new();
    for session in sessions {
        if owner_of_session(session, replicas)? == killed {
            lost.push(session.clone());
        }
    }
    Ok(lost)
}
