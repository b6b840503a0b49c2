//! What cargo answered to a question that has the same answer every time.

use super::recipe::{self, FOLDER};
use super::{exit_code, metadata, real_cargo};
use crate::environment::Surroundings;
use crate::state_folder::write_atomically;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    stdout: String,
    stderr: String,
    code: u8,
}

/// Answers a question about the crate of cells or about the standard library; anything else is cargo's own work.
pub fn answer(around: &Surroundings, arguments: &[OsString]) -> Result<ExitCode> {
    let folder = around.folder.to_string_lossy().into_owned();
    let mut words: Vec<String> = arguments.iter().map(|a| a.to_string_lossy().replace(&folder, FOLDER)).collect();
    if let Some(flag) = words.iter().position(|w| w == "--lockfile-path") {
        // A copy that rust-analyzer made, under a new name each time.
        words.drain(flag..(flag + 2).min(words.len()));
    }
    let question = words.iter().find(|w| !w.starts_with('-') && !w.starts_with('+') && *w != "unstable-options");
    let asks = match question.map(String::as_str) {
        Some("metadata" | "locate-project" | "config") | None => true,
        Some("rustc") => words.iter().any(|w| w == "--print"),
        _ => false,
    };
    if !asks {
        let status = real_cargo(around, arguments).status().context("cannot run cargo")?;
        return Ok(exit_code(status));
    }
    let lasting = lasts(around);
    let file = around.state.answers().join(format!("{:x}.json", Sha256::digest(key(around, &words)?)));
    let kept = std::fs::read_to_string(&file).ok().filter(|_| lasting);
    let answer = match kept.and_then(|text| serde_json::from_str(&text).ok()) {
        Some(answer) => answer,
        None => {
            let answer = ask(around, arguments)?;
            if lasting {
                write_atomically(&file, &serde_json::to_vec(&answer)?)?;
            }
            answer
        }
    };
    std::io::stdout().write_all(answer.stdout.replace(FOLDER, &folder).as_bytes())?;
    std::io::stderr().write_all(answer.stderr.replace(FOLDER, &folder).as_bytes())?;
    Ok(ExitCode::from(answer.code))
}

/// A question is the words, the manifest (its settings aside) and what was asked of cargo through variables.
fn key(around: &Surroundings, words: &[String]) -> Result<String> {
    let manifest = std::fs::read_to_string(around.folder.join("Cargo.toml")).unwrap_or_default();
    let name = manifest.lines().find(|line| line.trim_start().starts_with("name")).unwrap_or_default().trim();
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let without = around.folder.join(metadata::WITHOUT_STANDARD).exists();
    Ok(format!("{}\n{name}\n{}\n{flags}\n{without}", words.join("\u{1f}"), recipe::dependencies(&around.folder)))
}

/// Whether the manifest depends on nothing but the helper crate, about which set-up knows when it changes. Other
/// crates in folders, repositories or registries may change at any time.
fn lasts(around: &Surroundings) -> bool {
    let helpers = around.state.helpers.to_string_lossy();
    recipe::dependencies(&around.folder).lines().all(|line| line.contains(&format!("\"{helpers}\"")))
}

fn ask(around: &Surroundings, arguments: &[OsString]) -> Result<Answer> {
    recipe::seed_lock_file(around)?;
    let output =
        real_cargo(around, arguments).output().with_context(|| format!("cannot run {}", around.cargo.display()))?;
    let folder = around.folder.to_string_lossy().into_owned();
    let mut stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    if asked("metadata") && output.status.success() {
        stdout = metadata::prune(&stdout, around)?;
    } else if asked("cfg") {
        stdout = metadata::without_processor(&stdout);
    }
    Ok(Answer {
        stdout: stdout.replace(&folder, FOLDER),
        stderr: String::from_utf8_lossy(&output.stderr).replace(&folder, FOLDER),
        code: output.status.code().unwrap_or(1) as u8,
    })
}
