"""`cargo lab run`: a notebook that fails makes the command fail and is explained; one that succeeds passes."""

import os
import subprocess

import nbformat
import pytest

from conftest import CELL_SECONDS, OUTPUT, ROOT, notebook


@pytest.fixture
def lab():
    """Runs the command as the learner does, from the project's folder."""

    def run(*arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.run(
            ["cargo", "lab", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=4 * CELL_SECONDS,
            stdin=subprocess.DEVNULL,
        )

    return run


def test_good_and_bad_notebooks_are_told_apart(lab, tmp_path):
    good, bad = tmp_path / "good.ipynb", tmp_path / "bad.ipynb"
    nbformat.write(notebook("let lanes = 2;", "lanes * 21"), good)
    nbformat.write(notebook("let lanes = 2;", 'println!("so far");', 'let n: usize = "many".parse()?;', "lanes"), bad)

    process = lab("run", good, bad)
    assert process.returncode != 0
    assert f"PASS  {good}" in process.stdout
    assert f"FAIL  {bad}" in process.stdout
    after = process.stdout.split(f"FAIL  {bad}")[1]
    assert "code cell 3" in after and '"many".parse()' in after and "UserError: " in after, process.stdout
    assert "1 of 2 notebooks failed" in process.stderr

    executed = nbformat.read(OUTPUT / "executed" / "good.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].data["text/plain"] == "42"
    partial = nbformat.read(OUTPUT / "executed" / "bad.ipynb", as_version=4)
    assert partial.cells[1].outputs[0].text == "so far\n", "the outputs before the failure were not kept"


def test_a_cell_that_takes_too_long_is_named(lab, tmp_path):
    slow = tmp_path / "slow.ipynb"
    nbformat.write(notebook("let ready = 1;", "loop { std::thread::sleep(std::time::Duration::from_millis(50)); }"), slow)
    process = lab("run", "--timeout", "60", slow)
    assert process.returncode != 0
    assert "code cell 2" in process.stdout and "Timeout: the cell took longer than 60 s" in process.stdout
