//! What Onramp needs from a machine, one function for each need. Each says what it found and, when something is
//! missing, the exact command that puts it right.

use std::ffi::CString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use crate::process::clean_command;
use crate::python::{self, Python};
use crate::version::{Version, toolchain_channel};
use crate::workspace::Workspace;

/// Where JupyterLab listens when nothing else does.
pub const JUPYTER_PORT: u16 = 8888;

/// Space for the first build: artifacts, template, caches of cargo and pip.
const FIRST_BUILD_BYTES: u64 = 8 << 30;
/// Space for working once everything is built.
const LATER_BYTES: u64 = 2 << 30;

/// What one requirement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The requirement, such as `Rust 1.95.0`.
    pub need: String,
    /// What is there.
    pub found: String,
    /// Whether that is enough.
    pub state: State,
}

/// Whether a requirement is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is.
    Fine,
    /// It is, and there is something to know about it.
    Note(String),
    /// It is not; the text is the command, or the step, that puts it right.
    Missing(String),
}

impl Finding {
    /// A requirement that is met.
    pub fn fine(need: impl Into<String>, found: impl Into<String>) -> Self {
        Self { need: need.into(), found: found.into(), state: State::Fine }
    }

    /// A requirement that is met, with something to know.
    pub fn note(need: impl Into<String>, found: impl Into<String>, note: impl Into<String>) -> Self {
        Self { need: need.into(), found: found.into(), state: State::Note(note.into()) }
    }

    /// A requirement that is not met.
    pub fn missing(need: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { need: need.into(), found: found.into(), state: State::Missing(fix.into()) }
    }

    /// Whether the requirement is not met.
    pub fn is_missing(&self) -> bool {
        matches!(self.state, State::Missing(_))
    }
}

/// The compiler, against `rust-toolchain.toml`.
pub fn rust(workspace: &Workspace) -> Finding {
    let asked = std::fs::read_to_string(workspace.source("rust-toolchain.toml")).ok();
    let Some(needed) = asked.as_deref().and_then(toolchain_channel) else {
        return Finding::missing("Rust", "rust-toolchain.toml names no version", "git checkout rust-toolchain.toml");
    };
    rust_finding(needed, answer(workspace, "rustc", &["--version"]).and_then(|text| Version::parse(&text)))
}

fn rust_finding(needed: Version, found: Option<Version>) -> Finding {
    let need = format!("Rust {needed}");
    match found {
        Some(found) if found >= needed => Finding::fine(need, found.to_string()),
        Some(found) => Finding::missing(need, found.to_string(), format!("rustup toolchain install {needed}")),
        None => {
            let fix = format!("rustup toolchain install {needed}   (no rustup? install it from rustup.rs)");
            Finding::missing(need, "no rustc answers", fix)
        }
    }
}

/// The standard library's sources, which type inference in cells reads.
pub fn rust_source(workspace: &Workspace) -> Finding {
    let sysroot = answer(workspace, "rustc", &["--print", "sysroot"]).unwrap_or_default();
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/src/lib.rs");
    if source.is_file() {
        Finding::fine("rust-src", "installed")
    } else {
        Finding::missing("rust-src", "not installed", "rustup component add rust-src")
    }
}

/// The C compiler that links programs and compiles zstd and lz4.
pub fn linker(workspace: &Workspace) -> Finding {
    match answer(workspace, "cc", &["--version"]) {
        Some(text) => Finding::fine("C compiler (cc)", text.lines().next().unwrap_or("cc").to_owned()),
        None => Finding::missing(
            "C compiler (cc)",
            "no cc answers",
            "sudo apt install gcc libc6-dev   (macOS: xcode-select --install)",
        ),
    }
}

/// Python, and its module for virtual environments.
pub fn python() -> [Finding; 2] {
    python_findings(Python::find())
}

fn python_findings(found: Option<Python>) -> [Finding; 2] {
    let oldest = python::OLDEST;
    let need = format!("Python {}.{} or newer", oldest.major, oldest.minor);
    let Some(python) = found else {
        let fix = "sudo apt install python3 python3-venv";
        return [
            Finding::missing(need, "no python3 answers", fix),
            Finding::missing("Python's venv module", "no Python", fix),
        ];
    };
    let place = format!("{} ({})", python.version, python.program);
    let version = if python.version >= oldest {
        Finding::fine(need, place)
    } else {
        Finding::missing(
            need,
            place,
            "install a newer Python beside it, for example: sudo apt install python3.11 python3.11-venv",
        )
    };
    let venv = if python.has_venv {
        Finding::fine("Python's venv module", "installed")
    } else {
        let Version { major, minor, .. } = python.version;
        let fix = format!("sudo apt install python3-venv   (or python{major}.{minor}-venv, for exactly this Python)");
        Finding::missing("Python's venv module", "not installed", fix)
    };
    [version, venv]
}

/// Free disk space where the build goes.
pub fn disk(workspace: &Workspace) -> Finding {
    let needed = if workspace.kernel_program().is_file() { LATER_BYTES } else { FIRST_BUILD_BYTES };
    disk_finding(needed, free_bytes(workspace.root()), workspace.root())
}

fn disk_finding(needed: u64, free: Option<u64>, place: &Path) -> Finding {
    let need = format!("{} GB of free disk", needed >> 30);
    match free {
        Some(free) if free >= needed => Finding::fine(need, format!("{} GB", free >> 30)),
        Some(free) => {
            let found = format!("{:.1} GB on the disk of {}", free as f64 / f64::from(1 << 30), place.display());
            Finding::missing(need, found, "delete something, or clone Onramp onto a larger disk")
        }
        None => Finding::note(need, "unknown", "the free space could not be read"),
    }
}

/// Bytes that this user may still write on the disk that holds `path`.
fn free_bytes(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: `statvfs` is plain data, for which all zeroes is a valid value.
    let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero byte and `answer` is a valid place for the result.
    let status = unsafe { libc::statvfs(path.as_ptr(), &mut answer) };
    #[allow(clippy::unnecessary_cast, reason = "the fields' widths differ between systems")]
    (status == 0).then(|| (answer.f_bavail as u64).saturating_mul(answer.f_frsize as u64))
}

/// The port that JupyterLab listens on.
pub fn port() -> Finding {
    let need = format!("port {JUPYTER_PORT}");
    match free_port(JUPYTER_PORT) {
        Some(port) if port == JUPYTER_PORT => Finding::fine(need, "free"),
        Some(port) => {
            Finding::note(need, "taken by another program", format!("JupyterLab will use port {port} instead"))
        }
        None => {
            Finding::missing(need, "taken, as are the hundred after it", "stop a program that listens on one of them")
        }
    }
}

/// The first port from `first` on, out of a hundred, on which this machine can listen.
pub fn free_port(first: u16) -> Option<u16> {
    (first..first.saturating_add(100)).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

/// What a program prints on standard output, when it is there and succeeds.
fn answer(workspace: &Workspace, program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        clean_command(program).args(arguments).current_dir(workspace.root()).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: Version = Version { major: 1, minor: 95, patch: 0 };

    fn fix(finding: &Finding) -> &str {
        match &finding.state {
            State::Missing(fix) => fix,
            other => panic!("{finding:?} should be missing, not {other:?}"),
        }
    }

    #[test]
    fn an_old_or_absent_rust_names_the_version_to_install() {
        let old = rust_finding(NEEDED, Version::parse("1.88.0"));
        assert_eq!((old.found.as_str(), fix(&old)), ("1.88.0", "rustup toolchain install 1.95.0"));
        assert!(fix(&rust_finding(NEEDED, None)).starts_with("rustup toolchain install 1.95.0"));
        assert_eq!(rust_finding(NEEDED, Version::parse("1.96.1")).state, State::Fine);
    }

    #[test]
    fn a_missing_venv_module_names_the_package() {
        let python = Python {
            program: "/usr/bin/python3".to_owned(),
            version: Version { major: 3, minor: 11, patch: 2 },
            has_venv: false,
        };
        let [version, venv] = python_findings(Some(python.clone()));
        assert_eq!(version.state, State::Fine);
        assert!(fix(&venv).contains("apt install python3-venv") && fix(&venv).contains("python3.11-venv"));

        let old = Python { version: Version { major: 3, minor: 9, patch: 2 }, has_venv: true, ..python };
        let [version, venv] = python_findings(Some(old));
        assert!(version.found.contains("3.9.2") && fix(&version).contains("apt install"));
        assert_eq!(venv.state, State::Fine);
        assert!(python_findings(None).iter().all(Finding::is_missing));
    }

    #[test]
    fn a_small_disk_is_named_with_what_it_has() {
        let small = disk_finding(FIRST_BUILD_BYTES, Some(3 << 29), Path::new("/home/x"));
        assert!(small.is_missing() && small.found.contains("1.5 GB") && small.found.contains("/home/x"));
        assert_eq!(disk_finding(LATER_BYTES, Some(3 << 30), Path::new("/")).state, State::Fine);
        assert!(free_bytes(Path::new("/")).is_some_and(|free| free > 0));
    }

    #[test]
    fn a_taken_port_leads_to_the_next_free_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let taken = listener.local_addr().expect("an address").port();
        assert!(free_port(taken).is_none_or(|port| port > taken));
    }
}
