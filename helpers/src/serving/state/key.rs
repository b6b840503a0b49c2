//! The names of sessions, and how much may be kept for one.

use crate::error::{Error, Result};

/// Of a session's name.
pub(super) const LONGEST_KEY_BYTES: usize = 128;
/// Of what is kept for a session.
pub(super) const LONGEST_VALUE_BYTES: usize = 64 << 10;
/// That a store of ours keeps: with short values some hundred megabytes.
pub(super) const MOST_KEYS: u64 = 1_000_000;

/// A name has 1 to 128 bytes and no control characters.
///
/// # Errors
/// [`Error::InvalidInput`] with what is wrong.
pub(super) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid(format!(
            "a session can't have an empty name; use 1 to {LONGEST_KEY_BYTES} bytes, such as 'session-7'"
        )));
    }
    if key.len() > LONGEST_KEY_BYTES {
        let begin: String = key.chars().take(16).flat_map(char::escape_default).collect();
        return Err(Error::invalid(format!(
            "the session's name {begin}... has {} bytes; use at most {LONGEST_KEY_BYTES}",
            key.len()
        )));
    }
    match key.chars().find(|character| character.is_control()) {
        Some(control) => Err(Error::invalid(format!(
            "the session's name '{}' contains the control character {}; leave it away",
            key.escape_debug(),
            control.escape_debug()
        ))),
        None => Ok(()),
    }
}

/// # Errors
/// [`Error::InvalidInput`] when it is too long.
pub(super) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > LONGEST_VALUE_BYTES {
        return Err(Error::invalid(format!(
            "{} bytes can't be kept for a session; use at most {LONGEST_VALUE_BYTES}",
            value.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule once more, byte by byte of UTF-8: control characters are 00 to 1f, 7f, and c2 followed by 80 to 9f.
    fn allowed(key: &str) -> bool {
        let bytes = key.as_bytes();
        let plain = bytes.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f);
        let high = bytes.windows(2).any(|pair| pair[0] == 0xc2 && (0x80..=0x9f).contains(&pair[1]));
        (1..=128).contains(&bytes.len()) && plain && !high
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_exactly_when_the_rule_says_so(key in any::<String>()) {
            prop_assert_eq!(check_key(&key).is_ok(), allowed(&key));
        }

        #[test]
        fn so_is_text_around_the_longest_length(key in "[ -~é\u{80}-\u{a0}]{120,136}", control in any::<bool>()) {
            let key = if control { format!("{key}\u{7f}") } else { key };
            prop_assert_eq!(check_key(&key).is_ok(), allowed(&key));
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (key, part) in [("", "empty"), ("a\nb", "\\n"), ("\u{85}", "\\u{85}"), (&"é".repeat(65), "130 bytes")] {
            let complaint = check_key(key).map_or_else(|error| error.to_string(), |()| "none".to_string());
            assert!(complaint.contains(part), "{complaint}");
        }
        assert!(check_key(&"é".repeat(64)).is_ok());
    }

    #[test]
    fn a_value_may_be_as_long_as_that() {
        assert!(check_value(&[0; LONGEST_VALUE_BYTES]).is_ok());
        assert!(check_value(&[0; LONGEST_VALUE_BYTES + 1]).is_err());
    }
}
