"""The lesson in JupyterLab, in a real browser: Run All finishes and the figures are really drawn."""

import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from conftest import LESSON, NOTEBOOKS, OUTPUT, need_program, venv_program

#: Without these, Chromium as root refuses to start and talks to hosts that a test must not need.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RUN_ALL_SECONDS = 600
CURVES = ".scatterlayer .trace"


@pytest.fixture
def jupyterlab(tmp_path):
    """JupyterLab on a free port with a copy of the lesson that a test may change; yields the lesson's address."""
    # Beside the original, so that `../helpers` means the same; the server's folder is the project's own.
    copy = NOTEBOOKS / f"browser-test-{secrets.token_hex(4)}.ipynb"
    shutil.copy(LESSON, copy)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    log = (OUTPUT / "logs" / "browser-test-jupyterlab.log").open("w")
    server = subprocess.Popen(
        [
            venv_program("jupyter"),
            "lab",
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={NOTEBOOKS}",
            f"--IdentityProvider.token={token}",
            f"--LabApp.workspaces_dir={tmp_path / 'workspaces'}",
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for_server(f"{base}/api/status?token={token}", server)
        yield f"{base}/lab/tree/{copy.name}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()
        copy.unlink(missing_ok=True)


def wait_for_server(address, server):
    for _ in range(240):
        assert server.poll() is None, "JupyterLab ended at its start; see target/lab/logs/browser-test-jupyterlab.log"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.25)
    pytest.fail("JupyterLab did not answer within a minute")


def test_run_all_draws_the_figures(jupyterlab, lesson):
    chromium = need_program("chromium", "chromium-browser", "google-chrome")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(jupyterlab)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
        # The kernel's name appears once it runs.
        page.locator(".jp-KernelName", has_text="Rust (Onramp)").first.wait_for(timeout=120_000)
        assert page.locator(".jp-Dialog").count() == 0, "a dialog asks something before the learner has begun"

        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        wait_until_finished(page, sum(cell.cell_type == "code" for cell in lesson.cells))

        drawn = count_drawn(page)
        page.locator(".jp-NotebookPanel .js-plotly-plot").first.scroll_into_view_if_needed()
        page.screenshot(path=OUTPUT / "lesson.png")
        browser.close()
    assert len(drawn) >= 3, f"figures with drawn curves: {drawn}"
    assert all(count > 0 for count in drawn), f"a figure without a single drawn curve: {drawn}"


def wait_until_finished(page, code_cells):
    """Every code cell has a number. The exercise is meant to fail, so an error is no reason to stop."""
    deadline = time.monotonic() + RUN_ALL_SECONDS
    finished = 0
    while time.monotonic() < deadline:
        finished = page.evaluate(
            """() => {
                const panel = document.querySelector('.jp-NotebookPanel');
                const prompts = [...panel.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];
                return prompts.filter(prompt => /\\[\\d+\\]/.test(prompt.textContent)).length;
            }"""
        )
        if finished == code_cells:
            return
        time.sleep(0.5)
    page.screenshot(path=OUTPUT / "lesson-unfinished.png")
    pytest.fail(f"{finished} of {code_cells} cells had finished after {RUN_ALL_SECONDS} s; see target/lab/lesson-unfinished.png")


def count_drawn(page):
    """Scrolls through the lesson; for each figure, the number of curves that the browser has drawn."""
    # A cell is laid out when it comes near the visible part, and a figure is drawn after that.
    cells = page.locator(".jp-NotebookPanel .jp-CodeCell")
    for index in range(cells.count()):
        cells.nth(index).scroll_into_view_if_needed()
        page.wait_for_timeout(200)
    drawn = []
    figures = page.locator(".jp-NotebookPanel .js-plotly-plot")
    for index in range(figures.count()):
        figure = figures.nth(index)
        figure.scroll_into_view_if_needed()
        figure.locator(CURVES).first.wait_for(state="attached", timeout=30_000)
        drawn.append(figure.locator(CURVES).count())
    return drawn
