"""What a kernel must survive."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager, start_new_kernel
from jupyter_client.session import Session

from conftest import CELL_SECONDS, KERNEL, NOTEBOOKS, ROOT
from talk import await_output, of_type, printed, reply_to, run

KERNELS = ROOT / "target" / "onramp" / "kernels"


def folder_of(manager):
    """The folder that this kernel made for itself."""
    return KERNELS / str(manager.provisioner.process.pid)


def processes_in(folder):
    """Processes with this folder in their environment or arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text:
            found.append(int(process.name))
    return found


def test_ten_megabytes_of_output_arrive_whole(kernel):
    code = 'let line = "0123456789".repeat(100); for _ in 0..10_000 { println!("{line}"); }'
    reply, messages = run(kernel, code)
    assert reply["status"] == "ok"
    assert len(printed(messages)) == 10_000 * 1_001


def test_a_flood_is_cut_off_with_a_note(kernel):
    code = 'let line = "0123456789".repeat(1_000); for _ in 0..10_000 { println!("{line}"); }'
    reply, messages = run(kernel, code)
    assert reply["status"] == "ok"
    assert len(printed(messages)) <= 20_000_000
    assert "more than 20 MB" in printed(messages, "stderr")
    assert printed(run(kernel, 'println!("next");')[1]) == "next\n"


def test_bytes_that_are_no_text_are_shown_as_such(kernel):
    code = r'use std::io::Write; std::io::stdout().write_all(b"a\xff\xfeb\n")?;'
    reply, messages = run(kernel, code)
    assert reply["status"] == "ok"
    assert printed(messages) == "a\ufffd\ufffdb\n"


def test_a_thread_may_print_after_its_cell_has_ended(kernel):
    pause = "std::thread::sleep(std::time::Duration::from_millis(700));"
    reply, _ = run(kernel, f'std::thread::spawn(|| {{ {pause} println!("late"); }});')
    assert reply["status"] == "ok"
    _, messages = run(kernel, pause + pause)
    late = kernel.get_iopub_msg(timeout=1)["content"].get("text") if not printed(messages) else printed(messages)
    assert late == "late\n"


def test_a_cell_that_closes_its_standard_output_ends_as_an_error(kernel):
    reply, _ = run(kernel, "unsafe extern \"C\" { fn close(fd: i32) -> i32; }\nunsafe { close(1); }")
    assert (reply["status"], reply["ename"]) == ("error", "ProcessExit")
    assert run(kernel, "1 + 1")[0]["status"] == "ok"


CRASHES = {
    "unsafe { std::ptr::null::<u8>().read_volatile() };": "SIGSEGV",
    "std::process::abort();": "SIGABRT",
    "fn deeper(depth: u64) -> u64 { std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + 1) }\ndeeper(0);": "stack",
    'std::process::Command::new("sh").arg("-c").arg("kill -9 $PPID").status()?;': "memory ran out",
}


@pytest.mark.parametrize("code", CRASHES)
def test_a_crash_names_its_cause_and_the_kernel_lives_on(kernel, code):
    reply, _ = run(kernel, code)
    assert (reply["status"], reply["ename"]) == ("error", "ProcessCrash")
    assert CRASHES[code] in reply["evalue"]
    assert run(kernel, "1 + 1")[0]["status"] == "ok"


@pytest.fixture
def own_kernel(tmp_path):
    """A kernel for one test, with what it says on standard error."""
    log = tmp_path / "kernel.log"
    with log.open("w") as stderr:
        manager, client = start_new_kernel(kernel_name=KERNEL, startup_timeout=60, cwd=str(NOTEBOOKS), stderr=stderr)
    yield manager, client, log
    client.stop_channels()
    if manager.is_alive():
        manager.shutdown_kernel(now=True)


def test_bad_messages_are_refused_and_logged(own_kernel):
    manager, client, log = own_kernel
    forger = Session(key=b"not the kernel's key")
    forged = forger.send(client.shell_channel.socket, "execute_request", {"code": 'println!("forged");'})
    # A whole message with content of another kind, and bytes that are no message at all.
    client.session.send(client.shell_channel.socket, "execute_request", {"code": 7})
    client.shell_channel.socket.send_multipart([b"nonsense"])
    client.shell_channel.socket.send_multipart([b"<IDS|MSG>", b"", b"{", b"{", b"{", b"{"])
    reply, messages = run(client, 'println!("genuine");')
    assert reply["status"] == "ok" and printed(messages) == "genuine\n"
    assert forged["header"]["msg_id"] not in {m["parent_header"].get("msg_id") for _, m in messages}
    assert log.read_text().count("was refused") == 4, log.read_text()


def test_a_client_that_vanishes_leaves_the_kernel_to_the_next_one(own_kernel):
    manager, client, _ = own_kernel
    client.execute('for i in 0..2_000_000 { println!("{i}"); }')
    time.sleep(1)
    client.stop_channels()
    # A session of its own: two that share one number their messages alike.
    other = manager.client(session=Session(key=manager.session.key))
    other.start_channels()
    other.wait_for_ready(timeout=CELL_SECONDS)
    reply, messages = run(other, 'println!("still here");')
    assert reply["status"] == "ok" and printed(messages).endswith("still here\n")
    other.stop_channels()


def test_a_kernel_that_is_killed_leaves_no_process_and_no_folder(own_kernel):
    manager, client, _ = own_kernel
    run(client, "let child = std::process::Command::new(\"sleep\").arg(\"600\").spawn()?.id();")
    folder = folder_of(manager)
    assert folder.is_dir() and processes_in(folder)
    os.kill(manager.provisioner.process.pid, signal.SIGKILL)  # nobody waits for it: it stays as a zombie
    deadline = time.monotonic() + 10
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_in(folder) == []
    other, its_client = start_new_kernel(kernel_name=KERNEL, startup_timeout=60, cwd=str(NOTEBOOKS))
    its_folder = folder_of(other)
    try:
        assert its_folder.is_dir() and not folder.exists()
    finally:
        its_client.stop_channels()
        other.shutdown_kernel()
    assert not its_folder.exists(), "a kernel that ends in order removes its folder itself"


def test_two_kernels_do_not_wait_for_each_other(own_kernel, kernel):
    _, client, _ = own_kernel
    run(client, "1 + 1")
    busy = client.execute('println!("busy"); std::thread::sleep(std::time::Duration::from_secs(20));')
    await_output(client, busy)
    started = time.monotonic()
    assert run(kernel, "let beside = 1;")[0]["status"] == "ok"
    assert time.monotonic() - started < 15


def test_ipc_works_as_well_as_tcp(tmp_path):
    manager = KernelManager(kernel_name=KERNEL, transport="ipc", ip=str(tmp_path / "kernel"))
    manager.start_kernel(cwd=str(NOTEBOOKS))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert printed(run(client, 'println!("over a pipe");')[1]) == "over a pipe\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_full_disk_is_named_and_costs_nothing(tmp_path):
    """In a mount namespace of its own, where the kernel's folder is a file system of a few megabytes."""
    wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*wrapper, "mount -t tmpfs tmpfs /mnt"]).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    state = tmp_path / "state"
    shutil.copytree(ROOT / "target" / "onramp", state, ignore=shutil.ignore_patterns("kernels"))
    (state / "kernels").mkdir()
    specification = json.loads((Path(KernelSpecManager().get_kernel_spec(KERNEL).resource_dir) / "kernel.json").read_text())
    arguments = [str(state) if "target/onramp" in argument else argument for argument in specification["argv"]]
    mount = f"mount -t tmpfs -o size=16m tmpfs {state}/kernels && exec \"$@\""
    specification["argv"] = [*wrapper, mount, "kernel", *arguments]
    folder = tmp_path / "kernels" / "small"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(specification))
    specs = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")])
    manager = KernelManager(kernel_name="small", kernel_spec_manager=specs)
    manager.start_kernel(cwd=str(NOTEBOOKS))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert run(client, "let kept = 7;")[0]["status"] == "ok"
        # The kernel's folder is the working folder of the compiler, not of cells; its path is in the environment.
        pid = manager.provisioner.process.pid
        fill = "dd if=/dev/zero of=$(ls -d STATE/kernels/*)/filler bs=64k 2>/dev/null; true"
        nsenter = ["nsenter", f"--user=/proc/{pid}/ns/user", f"--mount=/proc/{pid}/ns/mnt", "--preserve-credentials"]
        subprocess.run([*nsenter, "sh", "-c", fill.replace("STATE", str(state))], check=True)
        reply, _ = run(client, "let lost = 8;")
        assert (reply["status"], reply["ename"]) == ("error", "DiskFull"), reply
        subprocess.run([*nsenter, "sh", "-c", f"rm {state}/kernels/*/filler"], check=True)
        reply, messages = run(client, 'println!("{kept}");')
        assert reply["status"] == "ok" and printed(messages) == "7\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_kernel_whose_jupyter_is_killed_ends_by_itself():
    script = (
        "import os, sys, time\n"
        "from jupyter_client.manager import start_new_kernel\n"
        f"manager, client = start_new_kernel(kernel_name={KERNEL!r}, startup_timeout=60)\n"
        "print(manager.provisioner.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    jupyter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=NOTEBOOKS)
    pid = int(jupyter.stdout.readline())
    jupyter.kill()
    jupyter.wait()
    deadline = time.monotonic() + 20
    while (Path("/proc") / str(pid)).exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not (Path("/proc") / str(pid)).exists()
    assert not (KERNELS / str(pid)).exists()
