"""What a learner sees: JupyterLab in a real browser, the lesson run from top to bottom, the plot really drawn."""

import secrets
import socket
import subprocess
import time
import urllib.request

import pytest
from playwright.sync_api import sync_playwright

from conftest import LESSON, NOTEBOOKS, OUTPUT, need_program, venv_program

# A page load on a busy machine; the run of the whole lesson.
PAGE_MS = 120_000
LESSON_SECONDS = 400
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server on a free port of this machine; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        venv_program("jupyter"),
        "lab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--LabApp.workspaces_dir={tmp_path_factory.mktemp('workspaces')}",
        f"--ServerApp.root_dir={NOTEBOOKS.parent}",
    ]
    log = open(tmp_path_factory.mktemp("lab") / "log", "w")
    server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=5)
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "JupyterLab did not start"
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{LESSON.name}?token={token}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def browser():
    program = need_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def test_run_all_draws_the_plot(lab, browser):
    before = LESSON.read_bytes()
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    try:
        page.goto(lab, timeout=PAGE_MS)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=PAGE_MS)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-item", has_text="Run All Cells").first.click()
        # JupyterLab draws a cell's output only near the view: look at each code cell in turn.
        deadline = time.monotonic() + LESSON_SECONDS
        prompts = """() => [...document.querySelectorAll('.jp-CodeCell')].map(cell =>
            cell.querySelector('.jp-InputPrompt')?.textContent ?? '')"""
        while True:
            texts = page.evaluate(prompts)
            if texts and not any("*" in text for text in texts) and any(text.strip("[]: ").isdigit() for text in texts):
                # A queued cell has its star from the start, so no star means that all have run.
                break
            assert time.monotonic() < deadline, f"the lesson did not finish: {texts}"
            time.sleep(1)
        traces = page.locator(".js-plotly-plot .scatterlayer .trace")
        for step in range(60):
            if traces.count():
                break
            page.mouse.move(640, 900)
            page.mouse.wheel(0, 700)
            page.wait_for_timeout(400)
        assert traces.count() > 0, "no plot with a trace was drawn"
        traces.first.scroll_into_view_if_needed()
        page.wait_for_timeout(1000)
        points = page.locator(".js-plotly-plot .scatterlayer .trace .points path")
        assert points.count() > 0, "the traces have no points"
    finally:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=OUTPUT / "lesson.png")
        page.close()
        # JupyterLab may have saved the outputs into the learner's file; the committed lesson has none.
        LESSON.write_bytes(before)
