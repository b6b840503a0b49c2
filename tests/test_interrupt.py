"""Stopping a cell costs the learner as little as possible: the compiler, then the loop, and only then the variables."""

import subprocess
import time

import pytest

from talk import await_output, of_type, printed, reply_to, run

ONRAMP = ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;\n'
SLEEP = "std::thread::sleep(std::time::Duration::from_millis(10));"


@pytest.fixture
def kept(kernel):
    """A variable of an earlier cell, and the test that it is still there."""
    run(kernel, ONRAMP + "let kept = vec![7];")

    def still_there():
        reply, messages = run(kernel, 'println!("{}", kept[0]);')
        return reply["status"] == "ok" and printed(messages) == "7\n"

    return still_there


def interrupted(kernel, manager, identifier, times=1):
    """Interrupts the cell; returns its reply and the seconds that it took to stop."""
    started = time.monotonic()
    for _ in range(times):
        manager.interrupt_kernel()
        time.sleep(0.1)
    reply = reply_to(kernel, identifier)
    assert (reply["status"], reply["ename"]) == ("error", "Interrupted"), reply
    return reply, time.monotonic() - started


def test_a_loop_that_looks_stops_at_once_and_keeps_the_variables(kernel, manager, kept):
    identifier = kernel.execute(f'println!("started"); loop {{ check_interrupt()?; {SLEEP} }}')
    await_output(kernel, identifier)
    reply, seconds = interrupted(kernel, manager, identifier)
    assert "all variables are kept" in reply["evalue"]
    assert seconds < 3, "it was ended, not asked"
    assert kept()


def test_an_experiment_stops_and_keeps_the_variables(kernel, manager, kept):
    run(kernel, 'let guess = predict("how many times?", times(1.5))?;')
    identifier = kernel.execute(
        'println!("started"); let run = DataParallel::new(Mlp::new(256)).workers([1, 2]).rows_per_worker([64, 256, 4096])'
        ".repeats(2000).run(&guess)?;"
    )
    await_output(kernel, identifier)
    time.sleep(1)
    _, seconds = interrupted(kernel, manager, identifier)
    assert seconds < 4
    assert kept()


def test_a_loop_that_does_not_look_is_ended_and_told_what_was_lost(kernel, manager, kept):
    # `stubborn` is said to be lost, with whatever other tests left behind.
    identifier = kernel.execute(f'println!("started"); loop {{ {SLEEP} }}')
    await_output(kernel, identifier)
    reply, seconds = interrupted(kernel, manager, identifier)
    assert 4 < seconds < 30
    assert "kept" in "\n".join(reply["traceback"])
    reply, messages = run(kernel, "kept")
    traceback = "\n".join(of_type(messages, "error")[0][1]["traceback"])
    assert "was lost when cell" in traceback
    assert run(kernel, "1 + 1")[0]["status"] == "ok"


def test_a_second_interrupt_does_not_wait(kernel, manager, kept):
    identifier = kernel.execute(f'println!("started"); loop {{ {SLEEP} }}')
    await_output(kernel, identifier)
    _, seconds = interrupted(kernel, manager, identifier, times=2)
    assert seconds < 4
    assert run(kernel, "1 + 1")[0]["status"] == "ok"


def test_children_do_not_survive_it(kernel, manager):
    marker = f"sleep 98{time.monotonic_ns() % 100_000}"
    program, seconds = marker.split()
    code = f'println!("started"); std::process::Command::new("{program}").arg("{seconds}").status()?;'
    identifier = kernel.execute(code)
    await_output(kernel, identifier)
    interrupted(kernel, manager, identifier, times=2)
    assert subprocess.run(["pgrep", "-f", marker], capture_output=True).returncode == 1


def test_an_interrupt_stops_the_compiler_and_keeps_the_variables(kernel, manager, kept):
    # The compiler computes this constant, which takes it minutes.
    endless = "{ let mut i = 0u64; while i < 100_000_000_000 { i += 1; } i }"
    identifier = kernel.execute(
        f'#[allow(long_running_const_eval)] const ENDLESS: u64 = {endless}; println!("{{ENDLESS}}");'
    )
    time.sleep(3)
    reply, _ = interrupted(kernel, manager, identifier)
    assert "nothing ran" in reply["evalue"]
    assert kept()


def test_an_idle_kernel_ignores_it(kernel, manager, kept):
    manager.interrupt_kernel()
    time.sleep(0.5)
    assert kept()
