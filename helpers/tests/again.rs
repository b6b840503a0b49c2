//! Tests that need a program of their own: an environment belongs to all of a program, and so does what is read from it once.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs this test again, in another program, with this variable in its environment.
pub fn run_again_with(test: &str, variable: &str, value: impl AsRef<OsStr>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    has_passed(&command.args(["--exact", test]).env(variable, value).output().unwrap());
}

/// Does `body` in a program that a learner can stop, as a notebook's is: it gets the file that is the Stop button.
pub fn with_stop_button(test: &str, body: impl FnOnce(&Path)) {
    const FLAG: &str = "ONRAMP_INTERRUPT";
    match std::env::var_os(FLAG) {
        Some(flag) => body(Path::new(&flag)),
        None => {
            let flag = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(flag.path(), [0]).unwrap();
            run_again_with(test, FLAG, flag.path());
        }
    }
}

/// Presses the button after a moment.
pub fn press_soon(button: &Path) -> JoinHandle<()> {
    let button = button.to_path_buf();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        std::fs::write(button, [1]).unwrap();
    })
}

/// Does `body` in a program that has a disk of its own with so many MB, mounted at the path that it gets. Where the system
/// allows no such disk, nothing is done.
pub fn with_small_disk(test: &str, megabytes: u32, body: impl FnOnce(&Path)) {
    const DISK: &str = "ONRAMP_TEST_DISK";
    if let Some(disk) = std::env::var_os(DISK) {
        return body(Path::new(&disk));
    }
    let disk = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size={megabytes}m tmpfs \"$1\" || exit 77; shift; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    command.arg(disk.path()).arg(std::env::current_exe().unwrap()).args(["--exact", test]).env(DISK, disk.path());
    match command.output() {
        // These are the ends of a test program.
        Ok(output) if [Some(0), Some(101)].contains(&output.status.code()) => has_passed(&output),
        refused => println!("SKIPPED: no disk of its own was allowed here: {refused:?}"),
    }
}

fn has_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
