"""Times cells in this project's kernel and in the stock kernel, in turn; prints seconds by kernel as JSON.

usage: cells.py cell|start REPEATS
"""

import json
import subprocess
import sys
import time

from jupyter_client.manager import start_new_kernel

KERNELS = ["onramp", "stock"]
FIRST = ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;'
# One helper call and one `let`.
CELL = "let parameters_{0} = Mlp::new({0}).parameters();"
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

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def cells(repeats):
    """Warm kernels, the same cell in each, in turn."""
    kernels = [Kernel(name) for name in KERNELS]
    for kernel in kernels:
        kernel.run(FIRST)
        kernel.run(CELL.format(7))
    samples = {name: [] for name in KERNELS}
    for repeat in range(repeats):
        for kernel in kernels:
            samples[kernel.name].append(seconds(lambda: kernel.run(CELL.format(8 + repeat))))
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


if __name__ == "__main__":
    what, repeats = sys.argv[1], int(sys.argv[2])
    json.dump({"cell": cells, "start": starts}[what](repeats), sys.stdout)
