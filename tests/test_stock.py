"""The lesson's cells also run in the stock kernel, where somebody has installed it."""

import json
import shutil

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbconvert.preprocessors import ExecutePreprocessor

from conftest import CELL_SECONDS, NOTEBOOKS, OUTPUT, ROOT, notebook

CELLS = [
    ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;',
    'let guess = predict("twice the workers: how many times?", times(1.5))?;',
    'Table::new("Cars", ["lanes", "cars"]).row(["1", "10"])',
]


def stock_program():
    installed = OUTPUT / "stock" / "bin" / "evcxr_jupyter"
    return str(installed) if installed.exists() else shutil.which("evcxr_jupyter")


def test_the_lesson_s_first_cells_run_in_the_stock_kernel(tmp_path, monkeypatch):
    program = stock_program()
    if program is None:
        # A peer, not a part of Onramp: `cargo lab bench cell` installs it, CI does without.
        pytest.skip("stock evcxr_jupyter is not installed (`cargo lab bench cell` does)")
    scratch = OUTPUT / "stock-tmp"
    if not (scratch / "target").exists():
        # Without the copy of the compiled libraries that the benchmark makes, stock evcxr compiles them all: 20 minutes.
        pytest.skip("stock evcxr_jupyter has no compiled libraries yet (`cargo lab bench cell` gives it a copy)")
    shutil.copy(ROOT / "Cargo.lock", scratch)
    folder = tmp_path / "kernels" / "stock"
    folder.mkdir(parents=True)
    specification = {
        "argv": [program, "--control_file", "{connection_file}"],
        "display_name": "stock",
        "language": "rust",
        "env": {"EVCXR_TMPDIR": str(scratch)},
    }
    (folder / "kernel.json").write_text(json.dumps(specification))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert "stock" in KernelSpecManager().find_kernel_specs()

    run = notebook(*CELLS, kernelspec={"display_name": "stock", "language": "rust", "name": "stock"})
    ExecutePreprocessor(timeout=2 * CELL_SECONDS, startup_timeout=120).preprocess(
        run, {"metadata": {"path": str(NOTEBOOKS)}}
    )
    nbformat.validate(run)
    (table,) = run.cells[-1].outputs
    assert "lanes" in table.data["text/html"]
