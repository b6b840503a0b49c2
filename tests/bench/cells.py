"""Times cells in this project's kernel, in the stock kernel and with plain rustc, in turn; prints samples by name as JSON.

usage: cells.py cell|plain|start|info|long REPEATS
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import KernelManager, start_new_kernel

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "target" / "onramp"
KERNELS = ["onramp", "stock"]
FIRST = ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;'
# One helper call and one `let`.
CELL = "let parameters_{0} = Mlp::new({0}).parameters();"
# Neither helper nor `let`.
PLAIN = "println!(\"{{}}\", {0} * 2);"
SECONDS = 1800


class Kernel:
    """A running kernel."""

    def __init__(self, name):
        self.name = name
        self.manager, self.client = start_new_kernel(
            kernel_name=name, startup_timeout=600, stdout=subprocess.DEVNULL
        )

    def run(self, code):
        reply = self.client.execute_interactive(code, timeout=SECONDS, output_hook=lambda message: None)["content"]
        if reply["status"] != "ok":
            sys.exit(f"{self.name}: {code!r} failed: {reply.get('ename')}: {reply.get('evalue')}")

    @property
    def pid(self):
        return self.manager.provisioner.process.pid

    def memory(self):
        """MB that the kernel and everything below it holds, shared pages counted by their share."""
        pids, kilobytes = [self.pid], 0
        for pid in pids:
            pids += map(int, subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split())
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
        return kilobytes / 1000

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def plain_rustc(kernel, helper):
    """Compiles the source that evcxr generated for the newest cell, as the kernel does, with nothing around it."""
    folder = STATE / "kernels" / str(kernel.pid)
    recipes = [json.loads(path.read_text()) for path in (STATE / "recipes").iterdir()]
    (recipe,) = [r for r in recipes if any("onramp=" in argument for argument in r["arguments"]) == helper]
    rustc = json.loads((STATE / "tools.json").read_text())["rustc"]
    with tempfile.TemporaryDirectory() as out:
        variables = {name: value.replace("{kernel-folder}", str(folder)) for name, value in recipe["variables"].items()}
        variables_crate = STATE / "runtime" / "libevcxr_internal_runtime.so"
        command = [rustc, *recipe["arguments"], "--out-dir", out, "--emit=link", "-Copt-level=1"]
        command += ["--extern", f"evcxr_internal_runtime={variables_crate}"]
        subprocess.run(command, cwd=folder, env=os.environ | variables, check=True, capture_output=True)


def cells(repeats, first, code):
    """Warm kernels and the compiler alone, the same cell in each, in turn."""
    kernels = [Kernel(name) for name in KERNELS]
    try:
        for kernel in kernels:
            for warm_up in [*first, code.format(7)]:
                kernel.run(warm_up)
        samples = {name: [] for name in [*KERNELS, "rustc"]}
        for repeat in range(repeats):
            for kernel in kernels:
                samples[kernel.name].append(seconds(lambda: kernel.run(code.format(8 + repeat))))
            samples["rustc"].append(seconds(lambda: plain_rustc(kernels[0], bool(first))))
    finally:
        # The stock kernel would outlive this process.
        for kernel in kernels:
            kernel.end()
    return samples


def starts(repeats):
    """From starting the process to the first helper result with a `let`, one kernel at a time, in turn."""

    def start(name):
        kernel = Kernel(name)
        kernel.run(FIRST)
        kernel.run(CELL.format(8))
        return kernel

    for name in KERNELS:  # what is compiled once is not part of a start
        start(name).end()
    samples = {name: [] for name in KERNELS}
    for _ in range(repeats):
        for name in KERNELS:
            started = time.perf_counter()
            kernel = start(name)
            samples[name].append(time.perf_counter() - started)
            kernel.end()
    return samples


def infos(repeats):
    """From starting the process to its first kernel_info reply."""
    samples = {name: [] for name in KERNELS}
    for _ in range(repeats):
        for name in KERNELS:
            manager = KernelManager(kernel_name=name)
            started = time.perf_counter()
            manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            client = manager.client()
            client.start_channels()
            # A socket that finds nobody tries again after 100 ms; a new one tries at once.
            while True:
                client.kernel_info()
                try:
                    client.get_shell_msg(timeout=0.02)
                    break
                except Exception:  # queue.Empty: nobody has answered yet
                    client.stop_channels()
                    client = manager.client()
                    client.start_channels()
            samples[name].append(time.perf_counter() - started)
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    return samples


def long(repeats):
    """Many cells that redefine the same ten variables: seconds of each, and MB before the first and after the last."""
    kernel = Kernel("onramp")
    kernel.run(FIRST)
    for repeat in range(10):
        kernel.run(f"let value_{repeat} = Mlp::new({repeat + 1}).parameters();")
    before = kernel.memory()
    times = []
    for repeat in range(repeats):
        times.append(seconds(lambda: kernel.run(f"let value_{repeat % 10} = Mlp::new({repeat + 1}).parameters();")))
    memory = [before, kernel.memory()]
    kernel.end()
    return {"seconds": times, "memory": memory}


BENCHES = {
    "cell": lambda repeats: cells(repeats, [FIRST], CELL),
    "plain": lambda repeats: cells(repeats, [], PLAIN),
    "start": starts,
    "info": infos,
    "long": long,
}

if __name__ == "__main__":
    json.dump(BENCHES[sys.argv[1]](int(sys.argv[2])), sys.stdout)
