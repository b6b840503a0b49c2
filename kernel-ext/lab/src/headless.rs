//! `cargo lab run NOTEBOOK…`: executes notebooks without a browser, as CI does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::end_with_this_process;
use crate::progress::readable;
use crate::python::venv_command;
use crate::workspace::Workspace;

/// What the executing script reports: one line of JSON.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Report {
    /// Every cell succeeded.
    Ok,
    /// A cell failed.
    Failed {
        /// Number of the failing cell among the code cells, from 1.
        cell: Option<u32>,
        /// Its source.
        source: String,
        /// The error's name, such as `Panic`.
        ename: String,
        /// The error's text.
        evalue: String,
    },
}

/// The full paths of notebooks given by path or by a lesson's name.
///
/// # Errors
/// When one of them is not there.
pub fn find_all(workspace: &Workspace, notebooks: &[PathBuf]) -> Result<Vec<PathBuf>> {
    notebooks.iter().map(|path| find(workspace, path)).collect()
}

/// Executes each notebook, prints PASS or FAIL for each, and keeps the executed ones below `target/lab/executed`.
///
/// # Errors
/// When one of them fails.
pub fn run(workspace: &Workspace, notebooks: &[PathBuf], cell_limit: Duration) -> Result<()> {
    let folder = workspace.lab().join("executed");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;

    let mut failed = 0;
    for notebook in notebooks {
        let started = Instant::now();
        let output = folder.join(notebook.file_name().unwrap_or_default());
        let report = execute(workspace, notebook, &output, cell_limit)?;
        let seconds = readable(started.elapsed());
        let name = workspace.relative(notebook).display();
        match report {
            Report::Ok => println!("PASS  {name}  {seconds}"),
            Report::Failed { cell, source, ename, evalue } => {
                failed += 1;
                println!("FAIL  {name}  {seconds}");
                println!("{}", explanation(cell, &source, &ename, &evalue));
            }
        }
    }
    println!("Executed notebooks, with their outputs: {}", workspace.relative(&folder).display());
    if failed > 0 {
        bail!("{failed} of {} notebooks failed", notebooks.len());
    }
    Ok(())
}

fn execute(workspace: &Workspace, notebook: &Path, output: &Path, cell_limit: Duration) -> Result<Report> {
    let mut command = venv_command(workspace, "python");
    command.arg(workspace.script("execute.py")).arg(notebook).arg(output).arg(cell_limit.as_secs().to_string());
    end_with_this_process(&mut command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let result = child
        .and_then(|child| child.wait_with_output())
        .context("nbconvert cannot be started: run `cargo lab setup`")?;
    let text = String::from_utf8_lossy(&result.stdout);
    let report = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    report.with_context(|| {
        format!(
            "{} could not be executed ({}):\n{}",
            notebook.display(),
            result.status,
            String::from_utf8_lossy(&result.stderr).trim_end()
        )
    })
}

/// The notebook's full path; a name without a folder is looked for among the lessons, too.
fn find(workspace: &Workspace, path: &Path) -> Result<PathBuf> {
    let known = [
        path.to_path_buf(),
        workspace.notebooks().join(path),
        workspace.notebooks().join(path).with_extension("ipynb"),
    ];
    if let Some(found) = known.into_iter().find(|candidate| candidate.is_file()) {
        if found.extension().is_none_or(|extension| extension != "ipynb") {
            bail!("{} is not a notebook: give the .ipynb file", path.display());
        }
        return fs::canonicalize(&found).with_context(|| format!("{} cannot be read", found.display()));
    }
    let mut lessons: Vec<String> = fs::read_dir(workspace.notebooks())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| format!("notebooks/{}", entry.file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".ipynb"))
        .collect();
    lessons.sort();
    let known = if lessons.is_empty() { "none".to_owned() } else { lessons.join(", ") };
    bail!("there is no notebook {}; the lessons are: {known}", path.display())
}

fn explanation(cell: Option<u32>, source: &str, ename: &str, evalue: &str) -> String {
    let place = cell.map(|number| format!("code cell {number}")).unwrap_or_else(|| "outside any cell".to_owned());
    let indent = |text: &str| text.lines().map(|line| format!("      | {line}")).collect::<Vec<_>>().join("\n");
    let evalue = evalue.replace('\n', "\n      ");
    format!("      {place}\n{}\n      {ename}: {evalue}", indent(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_notebook_is_named_with_those_that_exist() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let notebooks = root.path().join("notebooks");
        fs::create_dir_all(&notebooks).expect("a folder");
        fs::write(notebooks.join("04-parallelism.ipynb"), "{}").expect("a file");
        fs::write(notebooks.join("04-parallelism.md"), "").expect("a file");
        let workspace = Workspace::at(root.path());

        let error = find(&workspace, Path::new("05-nothing.ipynb")).expect_err("it is not there").to_string();
        assert!(error.contains("05-nothing.ipynb") && error.contains("notebooks/04-parallelism.ipynb"), "{error}");
        assert!(
            find(&workspace, Path::new("04-parallelism"))
                .is_ok_and(|path| path.ends_with("notebooks/04-parallelism.ipynb"))
        );
        assert!(find(&workspace, &notebooks.join("04-parallelism.md")).is_err(), "a source is not a notebook");
    }

    #[test]
    fn a_failure_is_explained_with_cell_name_and_value() {
        let text = explanation(Some(3), "assert_eq!(1, 2);\n// end", "Panic", "left != right");
        assert_eq!(text, "      code cell 3\n      | assert_eq!(1, 2);\n      | // end\n      Panic: left != right");
    }

    #[test]
    fn every_line_of_an_error_s_text_is_indented() {
        let text = explanation(Some(1), "x", "Panic", "assertion failed\n  left: 2");
        assert!(text.ends_with("      Panic: assertion failed\n        left: 2"), "{text}");
    }

    #[test]
    fn reports_of_the_script_are_read() {
        let failed =
            r#"{"status": "failed", "cell": 2, "source": "x", "ename": "E0308", "evalue": "mismatched types"}"#;
        assert!(matches!(serde_json::from_str(failed), Ok(Report::Failed { cell: Some(2), .. })));
        assert!(matches!(serde_json::from_str(r#"{"status": "ok"}"#), Ok(Report::Ok)));
    }
}
