//! Finds a Python that can make a virtual environment, and makes it.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{Log, clean_command, run_by_line};
use crate::progress::Progress;
use crate::version::Version;
use crate::workspace::Workspace;

/// The oldest Python that the pinned packages support.
pub const OLDEST: Version = Version { major: 3, minor: 10, patch: 0 };

/// Names under which a Python may be installed, the usual one first.
const NAMES: [&str; 7] = ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];

/// A Python interpreter of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The interpreter's file.
    pub program: String,
    /// Its version.
    pub version: Version,
    /// Whether it can make virtual environments that contain pip.
    pub has_venv: bool,
}

impl Python {
    /// Whether Onramp can use it.
    pub fn suffices(&self) -> bool {
        self.version >= OLDEST && self.has_venv
    }

    /// The first interpreter that suffices, else the one that comes closest, else none.
    pub fn find() -> Option<Self> {
        let mut closest: Option<Self> = None;
        for name in NAMES {
            let Some(python) = Self::ask(name) else {
                continue;
            };
            if python.suffices() {
                return Some(python);
            }
            let closer = closest.as_ref().is_none_or(|best| python.version >= OLDEST && best.version < OLDEST);
            if closer {
                closest = Some(python);
            }
        }
        closest
    }

    fn ask(name: &str) -> Option<Self> {
        const QUESTION: &str = "import sys\n\
            print('.'.join(map(str, sys.version_info[:3])))\n\
            print(sys.executable)\n\
            import venv, ensurepip\n\
            print('venv')";
        let output =
            clean_command(name).args(["-c", QUESTION]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    fn parse(answer: &str) -> Option<Self> {
        let mut lines = answer.lines();
        let version = Version::parse(lines.next()?)?;
        let program = lines.next()?.to_owned();
        Some(Self { program, version, has_venv: lines.next() == Some("venv") })
    }
}

/// A command of the virtual environment.
pub fn venv_command(workspace: &Workspace, program: &str) -> Command {
    let mut command = clean_command(workspace.venv_program(program));
    command.env("PYTHONNOUSERSITE", "1").env("JUPYTER_PREFER_ENV_PATH", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command
}

/// Makes the virtual environment anew from the pinned requirements.
///
/// Environments name their own folder inside, so that a finished one cannot be renamed into place; the stamp that the
/// set-up writes afterwards is what tells a finished environment from an interrupted one.
///
/// # Errors
/// When Python or pip fails; the message holds the end of the log.
pub fn make_venv(workspace: &Workspace, progress: &mut Progress) -> Result<()> {
    let Some(python) = Python::find().filter(Python::suffices) else {
        bail!("no Python {OLDEST} or newer with its venv module was found: run `cargo lab doctor` for the fix");
    };
    let venv = workspace.venv();
    if venv.exists() {
        fs::remove_dir_all(&venv)
            .with_context(|| format!("the old environment {} cannot be deleted", venv.display()))?;
    }
    let mut log = Log::create(&workspace.lab().join("logs/python.log"))?;

    progress.working_on("a new environment");
    let status = run_by_line(clean_command(&python.program).args(["-m", "venv"]).arg(&venv), |_, line| log.line(line))?;
    if !status.success() {
        return Err(log.failure("Making the virtual environment", status));
    }

    let requirements = fs::read_to_string(workspace.requirements())?;
    progress.set_total(requirement_names(&requirements).count() as u64);
    let mut install = venv_command(workspace, "python");
    install
        .args(["-m", "pip", "install", "--progress-bar", "off", "--no-input", "--requirement"])
        .arg(workspace.requirements());
    let mut collected = 0;
    let status = run_by_line(&mut install, |_, line| {
        log.line(line);
        if let Some(package) = line.strip_prefix("Collecting ") {
            collected += 1;
            progress.set_done(collected);
            progress.working_on(package.split(" (").next().unwrap_or(package));
        } else if line.starts_with("Installing collected packages") {
            progress.working_on("installing");
        }
    })?;
    if !status.success() {
        return Err(log.failure("Installing the Python packages", status));
    }
    Ok(())
}

/// The packages that a requirements file names.
fn requirement_names(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
    lines.filter_map(|line| line.split([' ', ';', '=', '<', '>', '[', '~', '!']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_last_line_means_that_venv_is_missing() {
        let whole = Python::parse("3.11.2\n/usr/bin/python3\nvenv\n").expect("an answer");
        assert!(whole.suffices());
        let without = Python::parse("3.11.2\n/usr/bin/python3\n").expect("an answer");
        assert!(!without.suffices() && !without.has_venv);
        let old = Python::parse("3.9.18\n/usr/bin/python3\nvenv\n").expect("an answer");
        assert!(!old.suffices());
        assert_eq!(Python::parse("Python was not found"), None);
    }

    #[test]
    fn requirements_are_counted_without_comments_and_options() {
        let text = "# made by pip\n\n--find-links x\njupyterlab==4.6.6\ntomli==2.5.0 ; python_version < \"3.11\"\n";
        assert_eq!(requirement_names(text).collect::<Vec<_>>(), ["jupyterlab", "tomli"]);
    }

    #[test]
    fn every_requirement_of_the_project_is_pinned_exactly() {
        let text = include_str!("../requirements.txt");
        assert!(requirement_names(text).count() > 50, "transitive packages belong in the file, too");
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            assert!(line.contains("=="), "{line:?} is not pinned");
        }
    }
}
