//! Where a number came from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a number came from. Every number that is shown carries one of the four, and figures draw each
/// with its own marker, so that a replayed number is never taken for a measured one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// Timed on this machine, as it is.
    Measured,
    /// Real bytes through a link that is slowed down on purpose.
    Emulated,
    /// Steps measured one by one, then placed on a virtual clock together with a model of the link.
    Replayed,
    /// Taken from a paper, which is cited next to it.
    Published,
}

impl Provenance {
    /// The four kinds in the order in which legends list them.
    pub const ALL: [Provenance; 4] =
        [Provenance::Measured, Provenance::Emulated, Provenance::Replayed, Provenance::Published];

    /// The word shown beside a number.
    pub fn label(self) -> &'static str {
        match self {
            Provenance::Measured => "measured",
            Provenance::Emulated => "emulated",
            Provenance::Replayed => "replayed",
            Provenance::Published => "published",
        }
    }

    /// One sentence for a reader who meets the word for the first time.
    pub fn meaning(self) -> &'static str {
        match self {
            Provenance::Measured => "timed on this machine",
            Provenance::Emulated => "real bytes through a link slowed down on purpose",
            Provenance::Replayed => "measured steps placed on a virtual clock with a model of the link",
            Provenance::Published => "from the cited paper",
        }
    }

    /// The sign in tables and in the text form of a figure, alike to the marker in the drawn one.
    pub fn sign(self) -> char {
        match self {
            Provenance::Measured => '●',
            Provenance::Emulated => '○',
            Provenance::Replayed => '◆',
            Provenance::Published => '✚',
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
