//! Version numbers of the programs that Onramp needs.

use std::fmt;

/// `major.minor.patch`, compared in that order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number; zero when it is not given.
    pub patch: u32,
}

impl Version {
    /// The first version number in a text such as `rustc 1.95.0 (59807616e 2026-04-14)` or `3.11.2`.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse_word)
    }

    fn parse_word(word: &str) -> Option<Self> {
        // "1.96.0-nightly" is 1.96.0; a word without a dot is no version.
        let numbers = word.split(['-', '+']).next()?;
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let major = parts.next()??;
        let minor = parts.next()??;
        let patch = parts.next().flatten().unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The channel that a `rust-toolchain.toml` asks for.
pub fn toolchain_channel(text: &str) -> Option<Version> {
    let line = text.lines().map(str::trim).find(|line| line.starts_with("channel"))?;
    Version::parse(line.split('=').nth(1)?.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        let rust = Version { major: 1, minor: 95, patch: 0 };
        assert_eq!(Version::parse("rustc 1.95.0 (59807616e 2026-04-14)"), Some(rust));
        assert_eq!(Version::parse("rustc 1.96.0-nightly (abc 2026-05-01)").map(|version| version.minor), Some(96));
        assert_eq!(Version::parse("Python 3.11"), Some(Version { major: 3, minor: 11, patch: 0 }));
        assert_eq!(Version::parse("command not found"), None);
    }

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        assert!(Version::parse("3.9.18") < Version::parse("3.10.0"));
        assert!(Version::parse("1.95.0") > Version::parse("1.94.9"));
    }

    #[test]
    fn the_channel_of_the_project_is_read() {
        let text = include_str!("../../../rust-toolchain.toml");
        assert!(toolchain_channel(text).is_some());
        assert_eq!(toolchain_channel("[toolchain]\nchannel = \"1.95.0\"\n"), Version::parse("1.95.0"));
    }
}
