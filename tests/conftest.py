"""What every test shares: where things lie, notebooks made on the spot, and how a missing program is treated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
LESSON = NOTEBOOKS / "04-parallelism.ipynb"
OUTPUT = ROOT / "target" / "lab"
KERNEL = "onramp"
KERNELSPEC = {"display_name": "Rust (Onramp)", "language": "rust", "name": KERNEL}

# No cell of these tests takes longer, on a slow machine and with a kernel that still warms up.
CELL_SECONDS = 300


def venv_program(name):
    """A program of the virtual environment that runs these tests."""
    program = Path(sys.executable).parent / name
    if not program.exists():
        raise pytest.UsageError(f"{program} is missing: run the tests through `cargo lab test`")
    return program


def need_program(*names):
    """The path of the first of these programs; without any, the test is skipped here and fails in CI."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    reason = f"{names[0]} is not installed"
    if os.environ.get("CI") in ("1", "true"):
        pytest.fail(f"{reason}; CI installs it", pytrace=False)
    pytest.skip(reason)


def notebook(*sources, kernelspec=None):
    """A notebook of code cells for the Onramp kernel."""
    cells = [new_code_cell(source) for source in sources]
    return new_notebook(cells=cells, metadata={"kernelspec": kernelspec or KERNELSPEC})


def nbconvert(path, output_folder, timeout=CELL_SECONDS):
    """Runs `jupyter nbconvert --execute` as CI would; returns the finished process and the executed notebook's path."""
    command = [
        venv_program("jupyter"),
        "nbconvert",
        "--to=notebook",
        "--execute",
        f"--ExecutePreprocessor.timeout={timeout}",
        f"--output-dir={output_folder}",
        path,
    ]
    process = subprocess.run(command, capture_output=True, text=True, timeout=2 * timeout, stdin=subprocess.DEVNULL)
    return process, Path(output_folder) / Path(path).name


@pytest.fixture(scope="session")
def lesson():
    """The first lesson's notebook."""
    return nbformat.read(LESSON, as_version=4)


@pytest.fixture(scope="session")
def manager_and_client():
    """A warm kernel for all tests that do not end it."""
    manager, client = start_new_kernel(kernel_name=KERNEL, startup_timeout=60, cwd=str(NOTEBOOKS))
    client.execute_interactive("let ready = 1;", timeout=CELL_SECONDS)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel()


@pytest.fixture
def manager(manager_and_client):
    """The warm kernel's process."""
    return manager_and_client[0]


@pytest.fixture
def kernel(manager_and_client):
    """The connection to the warm kernel."""
    return manager_and_client[1]
