//! Makes the kernel known to the Jupyter of the virtual environment, and has it prepare the template that cells start
//! from.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process::{Log, clean_command, run_by_line};
use crate::progress::Progress;
use crate::python::venv_command;
use crate::stamp::write_atomically;
use crate::workspace::{KERNEL_NAME, Workspace};

/// The kernelspec: how Jupyter starts the kernel.
pub fn specification(workspace: &Workspace) -> Value {
    json!({
        "argv": [
            workspace.kernel_program(),
            "run",
            "--connection",
            "{connection_file}",
            "--helpers",
            workspace.helpers(),
            "--state",
            workspace.kernel_state(),
        ],
        "display_name": "Rust (Onramp)",
        "language": "rust",
        "interrupt_mode": "message",
    })
}

/// JupyterLab's settings in this environment: no question about news and no look for updates, since the versions are
/// pinned and a machine may be offline.
fn settings() -> Value {
    json!({ "@jupyterlab/apputils-extension:notification": { "fetchNews": "false", "checkForUpdates": false } })
}

/// Installs the kernelspec and the settings inside the virtual environment.
///
/// # Errors
/// When a file cannot be written, or Jupyter does not list the kernel afterwards.
pub fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.kernelspec();
    write_atomically(&folder.join("kernel.json"), &serde_json::to_vec_pretty(&specification(workspace))?)?;
    let settings_file = workspace.venv().join("share/jupyter/lab/settings/overrides.json");
    write_atomically(&settings_file, &serde_json::to_vec_pretty(&settings())?)?;

    let output = venv_command(workspace, "jupyter")
        .args(["kernelspec", "list", "--json"])
        .output()
        .context("jupyter cannot be started")?;
    let listed: Value = serde_json::from_slice(&output.stdout).context("`jupyter kernelspec list` gave no answer")?;
    let place = listed["kernelspecs"][KERNEL_NAME]["resource_dir"].as_str().unwrap_or_default();
    anyhow::ensure!(
        fs::canonicalize(place).ok() == fs::canonicalize(&folder).ok(),
        "Jupyter finds the kernel `{KERNEL_NAME}` in {place:?} and not in {}: remove that entry with `jupyter kernelspec remove {KERNEL_NAME}`",
        folder.display()
    );
    Ok(())
}

/// Has the kernel compile the template crate that every notebook's cells start from.
///
/// # Errors
/// When the kernel's program fails; the message holds the end of its log.
pub fn prepare_template(workspace: &Workspace, progress: &mut Progress) -> Result<()> {
    let mut log = Log::create(&workspace.lab().join("logs/template.log"))?;
    let mut command = clean_command(workspace.kernel_program());
    command.current_dir(workspace.root()).arg("prepare");
    command.arg("--helpers").arg(workspace.helpers()).arg("--state").arg(workspace.kernel_state());
    let status = run_by_line(&mut command, |_, line| {
        log.line(line);
        progress.working_on(line);
    })?;
    if !status.success() {
        return Err(log.failure("Preparing the template", status));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_kernelspec_starts_the_kernel_with_its_folders() {
        let spec = specification(&Workspace::at(Path::new("/w")));
        let arguments: Vec<&str> = spec["argv"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(arguments[0].starts_with("/w/target/") && arguments[0].ends_with("/debug/onramp-kernel"));
        assert_eq!(
            arguments[1..],
            ["run", "--connection", "{connection_file}", "--helpers", "/w/helpers", "--state", "/w/target/onramp"]
        );
        assert_eq!((spec["language"].as_str(), spec["interrupt_mode"].as_str()), (Some("rust"), Some("message")));
    }
}
