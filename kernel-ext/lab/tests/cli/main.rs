//! The command as a whole, on machines made of small scripts: what it says about each missing requirement, and that
//! a set-up skips, repeats and resumes exactly what it should.

mod machine;

use std::fs;
use std::net::TcpListener;

use machine::{Machine, text};

#[test]
fn doctor_names_the_value_and_the_fix_of_everything_that_is_missing() {
    let machine = Machine::good();
    machine
        .program("rustc", "case $1 in --version) echo 'rustc 1.88.0 (abc 2025-06-01)';; --print) echo /nowhere;; esac");
    machine.remove("cc");
    machine.program("python3", "echo 3.9.2; echo /opt/python3; exit 1");
    let output = machine.lab(&["doctor"]);
    let said = text(&output);
    assert!(!output.status.success(), "{said}");
    for part in [
        "1.88.0",
        "rustup toolchain install 1.95.0",
        "rustup component add rust-src",
        "apt install gcc",
        "3.9.2 (/opt/python3)",
        "apt install python3.11",
        "apt install python3-venv",
        "5 requirements are missing",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

#[test]
fn doctor_on_a_good_machine_tells_how_far_the_set_up_is() {
    let machine = Machine::good();
    let before = machine.lab(&["doctor"]);
    assert!(before.status.success(), "{}", text(&before));
    assert!(text(&before).contains("0 of 6 steps done"), "{}", text(&before));

    machine.set_up();
    assert!(text(&machine.lab(&["doctor"])).contains("set-up                   up to date"));

    machine.write("helpers/src/law.rs", "// pulled");
    let after = machine.lab(&["doctor"]);
    assert!(after.status.success(), "a stale set-up is worth a note, not a failure");
    let said = text(&after);
    assert!(said.contains("stale: helper library") && said.contains("helpers/src/law.rs"), "{said}");
}

#[test]
fn a_set_up_that_cannot_succeed_makes_nothing() {
    let machine = Machine::good();
    machine.program("python3", "echo 3.11.2; echo /usr/bin/python3; exit 1");
    let output = machine.lab(&["setup"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("apt install python3-venv"), "{}", text(&output));
    assert!(!machine.path("target").exists(), "something was left behind");
}

#[test]
fn a_second_set_up_does_nothing_and_a_change_repeats_only_its_steps() {
    let machine = Machine::good();
    machine.set_up();
    assert_eq!(machine.calls(), ["venv", "pip", "fetch", "build onramp", "build onramp-kernel", "prepare"]);

    machine.forget_calls();
    let again = machine.lab(&["setup"]);
    assert!(text(&again).contains("up to date"), "{}", text(&again));
    assert_eq!(machine.calls(), [""; 0]);

    machine.write("helpers/src/lib.rs", "// changed");
    machine.set_up();
    assert_eq!(machine.calls(), ["build onramp", "prepare"]);

    machine.forget_calls();
    machine.write("kernel-ext/lab/requirements.txt", "jupyterlab==2\n");
    machine.set_up();
    assert_eq!(machine.calls(), ["venv", "pip"]);

    machine.forget_calls();
    fs::remove_file(machine.artifact("onramp-kernel")).expect("it was built");
    machine.set_up();
    assert_eq!(machine.calls(), ["build onramp-kernel", "prepare"]);
}

#[test]
fn a_set_up_with_cuda_builds_the_helper_library_with_it_until_told_otherwise() {
    let machine = Machine::good();
    machine.program("nvidia-smi", "echo NVIDIA H200");
    let output = machine.lab(&["setup"]);
    let offer = "This machine has a GPU (NVIDIA H200). `cargo lab setup --cuda` builds the experiments for it.";
    assert!(text(&output).contains(offer), "{}", text(&output));

    machine.forget_calls();
    let output = machine.lab(&["setup", "--cuda"]);
    assert!(output.status.success() && !text(&output).contains(offer), "{}", text(&output));
    assert_eq!(machine.calls(), ["build onramp with /toolkit", "prepare"]);
    assert!(text(&machine.lab(&["doctor"])).contains("NVIDIA H200, used by the experiments"));

    machine.forget_calls();
    machine.write("helpers/src/lib.rs", "// changed");
    machine.set_up();
    assert_eq!(machine.calls(), ["build onramp with /toolkit", "prepare"]);

    machine.forget_calls();
    assert!(machine.lab(&["setup", "--no-cuda"]).status.success());
    assert_eq!(machine.calls(), ["build onramp", "prepare"]);
    let output = machine.lab(&["setup", "--cuda", "--no-cuda"]);
    assert!(text(&output).contains("cannot be used with"), "{}", text(&output));
}

#[test]
fn a_killed_set_up_goes_on_at_the_step_it_was_in() {
    let machine = Machine::good();
    machine.write("slow", "");
    let mut running = machine.start(&["setup"]);
    machine.wait_for_call("build onramp");
    running.kill().expect("it is running");
    running.wait().expect("it has ended");

    machine.forget_calls();
    fs::remove_file(machine.path("slow")).expect("it is there");
    machine.set_up();
    assert_eq!(machine.calls(), ["build onramp", "build onramp-kernel", "prepare"]);
}

#[test]
fn a_second_set_up_at_the_same_time_names_the_first_and_waits_for_it() {
    let machine = Machine::good();
    machine.write("slow", "");
    let mut first = machine.start(&["setup"]);
    machine.wait_for_call("build onramp");
    let second = machine.start(&["setup"]);
    let said = format!("process {}", first.id());
    machine.wait_for_text(&said);
    fs::remove_file(machine.path("slow")).expect("it is there");

    assert!(first.wait().expect("it ends").success());
    assert!(second.wait_with_output().expect("it ends").status.success());
    let builds = machine.calls().iter().filter(|call| *call == "build onramp").count();
    assert_eq!(builds, 1, "the second set-up repeated the first one's work");
}

#[test]
fn without_a_network_one_message_says_so_and_the_next_run_goes_on() {
    let machine = Machine::good();
    machine.write("offline", "");
    let output = machine.lab(&["setup"]);
    let said = text(&output);
    assert!(!output.status.success());
    assert!(
        said.contains("2/6") && said.contains("Check the network") && said.contains("Could not resolve host"),
        "{said}"
    );

    fs::remove_file(machine.path("offline")).expect("it is there");
    machine.forget_calls();
    machine.set_up();
    assert_eq!(machine.calls(), ["fetch", "build onramp", "build onramp-kernel", "prepare"]);
}

#[test]
fn a_compile_error_is_shown_and_a_full_disk_is_named() {
    let machine = Machine::good();
    machine.write("broken", "error[E0308]: mismatched types");
    let said = text(&machine.lab(&["setup"]));
    assert!(said.contains("Building onramp failed") && said.contains("error[E0308]: mismatched types"), "{said}");
    assert!(!said.contains("network"), "{said}");

    machine.write("broken", "error: No space left on device (os error 28)");
    let said = text(&machine.lab(&["setup"]));
    assert!(said.contains("The disk is full"), "{said}");
}

#[test]
fn a_missing_notebook_is_named_before_anything_is_set_up() {
    let machine = Machine::good();
    let output = machine.lab(&["run", "notebooks/99-nothing.ipynb"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("99-nothing.ipynb") && text(&output).contains("notebooks/04-parallelism.ipynb"));
    assert!(!machine.path("target").exists());
}

#[test]
fn a_taken_port_leads_to_the_next_one() {
    // When another program already listens there, the port is taken just as well.
    let _listener = TcpListener::bind("127.0.0.1:8888");
    let machine = Machine::good();
    let said = text(&machine.lab(&[]));
    assert!(said.contains("Port 8888 is taken"), "{said}");
    assert!(said.contains("jupyter lab") && said.contains("/lab/tree/04-parallelism.ipynb"), "{said}");
    assert!(!said.contains("--ServerApp.port=8888"), "{said}");
}

#[test]
fn outside_the_workspace_the_message_says_where_to_go() {
    let machine = Machine::good();
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let output = machine.command(&["doctor"]).current_dir(elsewhere.path()).output().expect("it starts");
    assert!(!output.status.success());
    assert!(text(&output).contains("change into the folder that you cloned"), "{}", text(&output));
}
