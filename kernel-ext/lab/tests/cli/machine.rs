//! A machine for tests: a small workspace in a temporary folder, and scripts in place of every program that the
//! command calls. The scripts write down how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Answers like Python 3.11; makes environments of a few scripts; `jupyter` prints how it was called.
const PYTHON: &str = r#"
case "$1 $2" in
  "-m venv")
    echo venv >> "$ROOT/calls"
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "// plotly" > "$3/bin/plotly.min.js"
    printf '#!/bin/sh\nPATH=/usr/bin:/bin\nif [ "$1" = lab ]; then echo jupyter "$@"; else\n' > "$3/bin/jupyter"
    printf 'echo "{\\"kernelspecs\\": {\\"onramp\\": {\\"resource_dir\\": \\"%s/share/jupyter/kernels/onramp\\"}}}"\nfi\n' "$3" >> "$3/bin/jupyter"
    chmod +x "$3/bin/jupyter" ;;
  "-m pip") echo pip >> "$ROOT/calls"; echo "Collecting jupyterlab==1 (from -r x)" ;;
  "-c import plotly"*) echo "${0%/*}" ;;
  *) printf '3.11.2\n%s\nvenv\n' "$0" ;;
esac"#;

/// Builds by writing scripts where the artifacts belong; the files `slow`, `offline` and `broken` in the workspace
/// change how it behaves.
const CARGO: &str = r#"
case "$1" in
  tree) echo "onramp v0.1.0" ;;
  fetch)
    echo fetch >> "$ROOT/calls"
    if [ -e "$ROOT/offline" ]; then
      echo "error: failed to get serde as a dependency" >&2; echo "  Could not resolve host: a.registry" >&2; exit 101
    fi ;;
  build)
    package=$(printf '%s\n' "$@" | grep -A1 -x -e --package | tail -n 1)
    case "$*" in *"--features cuda"*) cuda=" with $CUDA_HOME" ;; esac
    echo "build $package${cuda:-}" >> "$ROOT/calls"
    while [ -e "$ROOT/slow" ]; do sleep 0.05; done
    if [ -e "$ROOT/broken" ]; then cat "$ROOT/broken" >&2; exit 101; fi
    echo "   Compiling $package v0.1.0" >&2
    echo "{\"reason\":\"compiler-artifact\",\"package_id\":\"$package\",\"fresh\":false}"
    mkdir -p "$ARTIFACTS"
    if [ "$package" = onramp ]; then touch "$ARTIFACTS/libonramp.so" "$ARTIFACTS/libonramp.dylib" "$ARTIFACTS/onramp-worker"; fi
    if [ "$package" = onramp-kernel ]; then
      printf '#!/bin/sh\nPATH=/usr/bin:/bin\necho prepare >> "%s/calls"\nmkdir -p "%s/target/onramp"\n' "$ROOT" "$ROOT" > "$ARTIFACTS/onramp-kernel"
      chmod +x "$ARTIFACTS/onramp-kernel"
    fi ;;
esac"#;

/// A workspace and its programs.
pub struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// A machine on which nothing is missing.
    pub fn good() -> Self {
        let machine = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (path, content) in [
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"1.95.0\"\n"),
            ("Cargo.toml", "[workspace]\n"),
            ("Cargo.lock", "version = 4\n"),
            (".cargo/config.toml", "[build]\n"),
            ("helpers/Cargo.toml", "[package]\n"),
            ("helpers/build.rs", "// cuda\n"),
            ("helpers/src/lib.rs", "// helpers\n"),
            ("kernel-ext/kernel/Cargo.toml", "[package]\n"),
            ("kernel-ext/kernel/src/main.rs", "// kernel\n"),
            ("kernel-ext/kernel/cell_runtime/lib.rs", "// variables\n"),
            ("kernel-ext/lab/requirements.txt", "jupyterlab==1\n"),
            ("kernel-ext/lab/cuda-toolkit.sh", "echo export CUDA_HOME=/toolkit\n"),
            ("notebooks/04-parallelism.ipynb", "{}"),
        ] {
            machine.write(path, content);
        }
        machine.write("sysroot/lib/rustlib/src/rust/library/std/src/lib.rs", "");
        let sysroot = machine.path("sysroot");
        let rustc =
            format!("case $1 in --print) echo {};; *) echo 'rustc 1.95.0 (abc 2026-04-14)';; esac", sysroot.display());
        machine.program("rustc", &rustc);
        machine.program("cc", "echo cc 12.2.0");
        machine.program("python3", PYTHON);
        machine.program("cargo", CARGO);
        machine.program("bash", "PATH=$ROOT/../bin:$PATH exec /bin/bash \"$@\"");
        machine
    }

    /// A file of the workspace.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("workspace").join(name)
    }

    /// A built file.
    pub fn artifact(&self, name: &str) -> PathBuf {
        self.path("target").join(env!("ONRAMP_TRIPLE")).join("debug").join(name)
    }

    /// Writes a file of the workspace.
    pub fn write(&self, name: &str, content: &str) {
        write(&self.path(name), content);
    }

    /// Installs a program: a shell script, which finds the workspace in `ROOT`.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        let artifacts = self.artifact("");
        let head = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin\nROOT='{}'\nARTIFACTS='{}'\n",
            self.path("").display(),
            artifacts.display()
        );
        write(&path, &format!("{head}{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it was written");
    }

    /// Takes a program away.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join("bin").join(name)).expect("it was installed");
    }

    /// The command, with only this machine's programs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onramp-lab"));
        command
            .args(arguments)
            .current_dir(self.path(""))
            .env("PATH", self.folder.path().join("bin"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub fn lab(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it starts")
    }

    /// Runs a set-up that must succeed.
    pub fn set_up(&self) {
        let output = self.lab(&["setup"]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Starts the command; what it prints goes to the file `said` of the workspace.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let said = fs::File::options().append(true).create(true).open(self.path("said")).expect("a file");
        self.command(arguments).stdout(Stdio::null()).stderr(said).spawn().expect("it starts")
    }

    /// What was called so far, one word or two for each step.
    pub fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Forgets what was called so far.
    pub fn forget_calls(&self) {
        let _ = fs::remove_file(self.path("calls"));
    }

    /// Waits until a started command has called something.
    pub fn wait_for_call(&self, call: &str) {
        wait(&format!("the call {call:?}"), || self.calls().iter().any(|made| made == call));
    }

    /// Waits until a started command has said something.
    pub fn wait_for_text(&self, part: &str) {
        wait(&format!("the text {part:?}"), || {
            fs::read_to_string(self.path("said")).unwrap_or_default().contains(part)
        });
    }
}

fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
    fs::write(path, content).expect("a file");
}

/// Everything that a command printed.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
