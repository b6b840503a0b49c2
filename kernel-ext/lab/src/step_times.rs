//! How long each step of the last set-up took, kept for `cargo lab bench setup`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::stamp::write_atomically;
use crate::workspace::Workspace;

/// One step's record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Crates and build scripts compiled, for steps that build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<u64>,
}

/// The record of all steps, by the step's name.
#[derive(Debug)]
pub struct StepTimes {
    path: PathBuf,
}

impl StepTimes {
    /// The record of a workspace.
    pub fn at(workspace: &Workspace) -> Self {
        Self { path: workspace.lab().join("setup-times.json") }
    }

    /// What is recorded; nothing when there was no set-up yet.
    pub fn read(&self) -> BTreeMap<String, StepTime> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Records a step's time.
    pub fn record_seconds(&self, step: &str, seconds: f64) {
        self.change(step, |time| time.seconds = seconds);
    }

    /// Records how much a step compiled.
    pub fn record_compiled(&self, step: &str, compiled: u64) {
        self.change(step, |time| time.compiled = Some(compiled));
    }

    /// A record that cannot be written is no reason to fail a set-up that works.
    fn change(&self, step: &str, change: impl FnOnce(&mut StepTime)) {
        let mut times = self.read();
        change(times.entry(step.to_owned()).or_default());
        if let Ok(text) = serde_json::to_vec_pretty(&times) {
            let _ = write_atomically(&self.path, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_of_a_step_are_kept_together() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let times = StepTimes::at(&Workspace::at(root.path()));
        assert!(times.read().is_empty());
        times.record_compiled("kernel", 40);
        times.record_seconds("kernel", 12.5);
        assert_eq!(times.read().get("kernel"), Some(&StepTime { seconds: 12.5, compiled: Some(40) }));
    }
}
