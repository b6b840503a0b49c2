//! How a notebook becomes a page: nbconvert's own template, with plotly.js in the page itself, so that figures can be
//! zoomed offline.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::python::venv_command;
use crate::stamp::write_atomically;
use crate::workspace::Workspace;

const TEMPLATE: &str = "onramp";
const CONFIGURATION: &str = include_str!("../export/conf.json");
const PAGE: &str = include_str!("../export/index.html.j2");

/// What the installed files are made from.
pub fn inputs() -> String {
    format!("{CONFIGURATION}{PAGE}{}", choice())
}

/// Which template which exporter takes. Slides and PDF inherit from the page, and must keep their own.
fn choice() -> Value {
    json!({
        "HTMLExporter": { "template_name": TEMPLATE },
        "SlidesExporter": { "template_name": "reveal" },
        "WebPDFExporter": { "template_name": "webpdf" },
    })
}

/// Installs the template in the virtual environment, for `jupyter nbconvert` and for JupyterLab's menu.
///
/// # Errors
/// When Python's plotly is missing or a file cannot be written.
pub fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.venv().join("share/jupyter/nbconvert/templates").join(TEMPLATE);
    write_atomically(&folder.join("conf.json"), CONFIGURATION.as_bytes())?;
    write_atomically(&folder.join("index.html.j2"), PAGE.as_bytes())?;
    let script = plotly_js(workspace)?;
    let content = fs::read(&script).with_context(|| format!("{} cannot be read", script.display()))?;
    write_atomically(&folder.join("static/plotly.min.js"), &content)?;

    for application in ["nbconvert", "server"] {
        let file = workspace.venv().join(format!("etc/jupyter/jupyter_{application}_config.json"));
        write_atomically(&file, &serde_json::to_vec_pretty(&choice())?)?;
    }
    Ok(())
}

/// plotly.js, as Python's plotly brings it.
fn plotly_js(workspace: &Workspace) -> Result<PathBuf> {
    let output = venv_command(workspace, "python")
        .args(["-c", "import plotly, pathlib; print(pathlib.Path(plotly.__file__).with_name('package_data'))"])
        .output()
        .context("the environment's Python cannot be started")?;
    anyhow::ensure!(
        output.status.success(),
        "the environment's Python has no plotly; run `cargo lab setup` again: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("plotly.min.js"))
}
