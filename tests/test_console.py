"""The kernel in a terminal: `jupyter console`."""

import subprocess

from conftest import CELL_SECONDS, KERNEL, NOTEBOOKS, venv_program


def test_a_session_in_the_console():
    lines = ["let lanes = 4;", "lanes * 2", 'println!("{}", lanes + 3);', "let wrong: usize = lanes + ;", "fn open() {", "}", ""]
    process = subprocess.run(
        [venv_program("jupyter"), "console", "--simple-prompt", f"--kernel={KERNEL}"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=CELL_SECONDS,
        cwd=NOTEBOOKS,
    )
    said = process.stdout + process.stderr
    assert process.returncode == 0, said
    assert "Onramp: Rust in Jupyter" in said, "the banner is missing"
    assert "8" in said and "7" in said
    assert "error" in said, "the mistake was not told"
