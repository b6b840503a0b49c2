//! `cargo lab setup`: the steps from a fresh clone to a working lesson. Each step that is up to date is skipped, so
//! that an interrupted set-up goes on where it stopped.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::doctor;
use crate::lock::SetupLock;
use crate::process::clean_command;
use crate::progress::{Progress, readable};
use crate::requirement::Finding;
use crate::stamp::{Inputs, Stamps, Standing};
use crate::step_times::StepTimes;
use crate::workspace::Workspace;
use crate::{cargo_build, cuda, export, kernelspec, python};

/// One step of the set-up.
struct Step {
    /// The name of its stamp and of its time.
    name: &'static str,
    /// What the reader sees.
    title: &'static str,
    /// What it is made from.
    inputs: fn(&Workspace) -> Result<Inputs>,
    /// What must be there afterwards.
    outputs: fn(&Workspace) -> Vec<PathBuf>,
    /// Makes it.
    make: fn(&Workspace, &mut Progress) -> Result<()>,
}

/// All steps, in order.
const STEPS: [Step; 6] = [
    Step {
        name: "python",
        title: "Python environment",
        inputs: |workspace| {
            let place = workspace.root().to_string_lossy().into_owned();
            Inputs::new().text("the folder's place", &place).file(workspace.root(), "kernel-ext/lab/requirements.txt")
        },
        outputs: |workspace| vec![workspace.venv_program("jupyter")],
        make: python::make_venv,
    },
    Step {
        name: "downloads",
        title: "Rust crates to download",
        inputs: |workspace| Inputs::new().file(workspace.root(), "Cargo.lock"),
        outputs: |_| Vec::new(),
        make: cargo_build::fetch,
    },
    Step {
        name: "helpers",
        title: "helper library",
        inputs: |workspace| {
            let cuda = if cuda::is_wanted(workspace) { "with CUDA" } else { "without CUDA" };
            helper_inputs(workspace)?.text("CUDA", cuda).file(workspace.root(), "kernel-ext/lab/cuda-toolkit.sh")
        },
        outputs: |workspace| vec![workspace.helper_library(), workspace.worker_program()],
        make: |workspace, progress| {
            let build = |arguments: &[&str]| cuda::cargo_for_helpers(workspace, arguments);
            cargo_build::build(workspace, "onramp", &["--lib", "--bins"], build, progress)
                .map(|built| note_compiled(workspace, "helpers", built))
        },
    },
    Step {
        name: "kernel",
        title: "Jupyter kernel",
        inputs: |workspace| {
            let inputs = build_inputs(workspace)?.file(workspace.root(), "kernel-ext/kernel/Cargo.toml")?;
            let inputs = inputs.folder(workspace.root(), "kernel-ext/kernel/src")?;
            inputs.folder(workspace.root(), "kernel-ext/kernel/cell_runtime")
        },
        outputs: |workspace| vec![workspace.kernel_program()],
        make: |workspace, progress| {
            let build = |arguments: &[&str]| cargo_build::plain(workspace, arguments);
            cargo_build::build(workspace, "onramp-kernel", &[], build, progress)
                .map(|built| note_compiled(workspace, "kernel", built))
        },
    },
    Step {
        name: "template",
        title: "template that cells start from",
        inputs: |workspace| {
            let inputs = helper_inputs(workspace)?.artifact(&workspace.helper_library());
            Ok(inputs.artifact(&workspace.kernel_program()))
        },
        outputs: |workspace| vec![workspace.kernel_state()],
        make: kernelspec::prepare_template,
    },
    Step {
        name: "kernelspec",
        title: "kernel's entry in Jupyter",
        inputs: |workspace| {
            let spec = kernelspec::specification(workspace).to_string();
            let inputs = Inputs::new().text("kernel.json", &spec).text("the page's template", &export::inputs());
            Ok(inputs.artifact(&workspace.venv_program("jupyter")))
        },
        outputs: |workspace| vec![workspace.kernelspec().join("kernel.json")],
        make: |workspace, _| kernelspec::install(workspace).and_then(|()| export::install(workspace)),
    },
];

/// What every build with cargo depends on.
fn build_inputs(workspace: &Workspace) -> Result<Inputs> {
    let root = workspace.root();
    let output = clean_command("rustc")
        .arg("-vV")
        .current_dir(root)
        .output()
        .context("rustc does not answer: run `cargo lab doctor`")?;
    let compiler = String::from_utf8_lossy(&output.stdout).into_owned();
    let inputs = Inputs::new().text("the compiler", &compiler).file(root, "Cargo.toml")?.file(root, "Cargo.lock")?;
    inputs.file(root, ".cargo/config.toml")
}

fn helper_inputs(workspace: &Workspace) -> Result<Inputs> {
    let inputs = build_inputs(workspace)?.file(workspace.root(), "helpers/Cargo.toml")?;
    inputs.file(workspace.root(), "helpers/build.rs")?.folder(workspace.root(), "helpers/src")
}

/// How many crates were compiled is kept beside the step's time: the sum shows that each is compiled once.
fn note_compiled(workspace: &Workspace, step: &str, built: cargo_build::Built) {
    StepTimes::at(workspace).record_compiled(step, built.compiled);
}

/// Brings everything up to date.
///
/// # Errors
/// When a requirement is missing or a step fails; the steps before it stay done.
pub fn run(workspace: &Workspace) -> Result<()> {
    let started = Instant::now();
    if next_stale(workspace)?.is_none() {
        return Ok(());
    }
    doctor::require(workspace)?;
    let lock = SetupLock::acquire(&workspace.lab().join("setup.lock"))?;
    let mut done = 0;
    for (number, step) in STEPS.iter().enumerate() {
        // Looked at here and not before: another set-up may have just finished, and a step changes the next one's inputs.
        if standing_of(workspace, step)? != Standing::Current {
            make(workspace, step, number + 1)?;
            done += 1;
        }
    }
    drop(lock);
    if done > 0 {
        eprintln!("Set-up finished in {}.", readable(started.elapsed()));
        if let Some(offer) = cuda::offer(workspace) {
            eprintln!("{offer}");
        }
    }
    Ok(())
}

/// Brings everything up to date and says so when there was nothing to do.
///
/// # Errors
/// As [`run`].
pub fn run_and_tell(workspace: &Workspace) -> Result<()> {
    if next_stale(workspace)?.is_none() {
        println!("Everything is up to date. `cargo lab` opens JupyterLab.");
        if let Some(offer) = cuda::offer(workspace) {
            println!("{offer}");
        }
        return Ok(());
    }
    run(workspace)
}

fn make(workspace: &Workspace, step: &Step, number: usize) -> Result<()> {
    let stamps = stamps(workspace);
    // Taken before the work: a source that is saved while the step runs makes it stale, as it should.
    let inputs = (step.inputs)(workspace)?;
    stamps.remove(step.name)?;
    let title = format!("{number}/{} {}", STEPS.len(), step.title);
    let mut progress = Progress::new(&title);
    if let Err(error) = (step.make)(workspace, &mut progress) {
        progress.abandon();
        return Err(error.context(format!(
            "set-up stopped at step {title}; the steps before it are done, and the next `cargo lab setup` goes on here"
        )));
    }
    StepTimes::at(workspace).record_seconds(step.name, progress.finish().as_secs_f64());
    stamps.write(step.name, &inputs)
}

fn standing_of(workspace: &Workspace, step: &Step) -> Result<Standing> {
    let complete = (step.outputs)(workspace).iter().all(|output| output.exists());
    if !complete {
        return Ok(Standing::Missing);
    }
    Ok(stamps(workspace).standing(step.name, &(step.inputs)(workspace)?))
}

/// The first step that is not up to date.
fn next_stale(workspace: &Workspace) -> Result<Option<(&'static Step, Standing)>> {
    for step in &STEPS {
        let standing = standing_of(workspace, step)?;
        if standing != Standing::Current {
            return Ok(Some((step, standing)));
        }
    }
    Ok(None)
}

/// How far the set-up is, as a finding of `cargo lab doctor`: worth a note, never missing, since `cargo lab` does it.
pub fn standing(workspace: &Workspace) -> Finding {
    let need = "set-up";
    match next_stale(workspace) {
        Ok(None) => Finding::fine(need, "up to date"),
        Ok(Some((step, Standing::Stale(changed)))) => {
            let names = summary(&changed);
            let note = format!("changed since: {names}\n        `cargo lab setup` brings it up to date");
            Finding::note(need, format!("stale: {} was made from older sources", step.title), note)
        }
        Ok(Some((step, _))) => {
            let done = STEPS.iter().take_while(|other| other.name != step.name).count();
            let note = "`cargo lab setup` does the rest; `cargo lab` does that and opens JupyterLab";
            Finding::note(need, format!("{done} of {} steps done; next: {}", STEPS.len(), step.title), note)
        }
        Err(error) => Finding::missing(need, format!("{error:#}"), "git status shows what differs from the clone"),
    }
}

fn summary(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn stamps(workspace: &Workspace) -> Stamps {
    Stamps::new(workspace.lab().join("stamps"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn long_lists_of_changes_are_shortened() {
        let names: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
        assert_eq!(summary(&names), "a, b, c, d and 2 more");
        assert_eq!(summary(&names[..2]), "a, b");
    }
}
