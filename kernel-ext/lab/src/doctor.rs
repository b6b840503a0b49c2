//! `cargo lab doctor`: looks at each requirement and names the fix for what is missing. Needs nothing but this small
//! program, so it answers before anything heavy is compiled.

use anyhow::{Result, bail};

use crate::cuda;
use crate::requirement::{self, Finding, State};
use crate::setup;
use crate::workspace::Workspace;

/// Without one of these no set-up can succeed.
fn hard_requirements(workspace: &Workspace) -> Vec<Finding> {
    let mut findings =
        vec![requirement::rust(workspace), requirement::rust_source(workspace), requirement::linker(workspace)];
    findings.extend(requirement::python());
    findings.push(requirement::disk(workspace));
    findings
}

/// Prints every requirement with what was found.
///
/// # Errors
/// When something is missing.
pub fn examine(workspace: &Workspace) -> Result<()> {
    let mut findings = hard_requirements(workspace);
    findings.push(requirement::port());
    findings.push(cuda::finding(workspace));
    findings.push(setup::standing(workspace));
    for finding in &findings {
        println!("{}", line(finding));
    }
    match findings.iter().filter(|finding| finding.is_missing()).count() {
        0 => {
            println!("\nNothing is missing.");
            Ok(())
        }
        1 => bail!("1 requirement is missing; its fix stands below it"),
        missing => bail!("{missing} requirements are missing; the fix of each stands below it"),
    }
}

/// Stops with one message when a set-up could not succeed.
///
/// # Errors
/// When a hard requirement is missing; the message holds each with its fix.
pub fn require(workspace: &Workspace) -> Result<()> {
    let missing: Vec<String> =
        hard_requirements(workspace).iter().filter(|finding| finding.is_missing()).map(line).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("set-up cannot start:\n{}\nPut this right, then run the same command again.", missing.join("\n"))
}

fn line(finding: &Finding) -> String {
    let (mark, advice) = match &finding.state {
        State::Fine => ("ok     ", String::new()),
        State::Note(text) => ("note   ", format!("\n        {text}")),
        State::Missing(fix) => ("MISSING", format!("\n        fix: {fix}")),
    };
    format!("{mark} {:<24} {}{advice}", finding.need, finding.found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_requirement_is_printed_with_its_value_and_fix() {
        let text = line(&Finding::missing("rust-src", "not installed", "rustup component add rust-src"));
        assert!(text.starts_with("MISSING rust-src"));
        assert!(text.contains("not installed") && text.ends_with("fix: rustup component add rust-src"));
    }

    #[test]
    fn a_note_is_not_missing() {
        let text =
            line(&Finding::note("port 8888", "taken by another program", "JupyterLab will use port 8889 instead"));
        assert!(text.starts_with("note") && text.contains("8889"));
    }
}
