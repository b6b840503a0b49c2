"""JupyterLab and Notebook in a real browser: Run All finishes and the figures are really drawn."""

import contextlib
import json
import re
import secrets
import socket
import subprocess
import time
import urllib.request

import nbformat
import pytest

from conftest import NOTEBOOKS, OUTPUT, need_program, notebook, venv_program

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


@contextlib.contextmanager
def serve(application, content, tmp_path, *options):
    """JupyterLab or Notebook on a free port with this notebook beside the lessons; gives the notebook's address."""
    # Beside the original, so that `../helpers` means the same; the server's folder is the project's own.
    copy = NOTEBOOKS / f"browser-test-{secrets.token_hex(4)}.ipynb"
    nbformat.write(content, copy)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    log = (OUTPUT / "logs" / f"browser-test-{application}.log").open("w")
    server = subprocess.Popen(
        [
            venv_program("jupyter"),
            application,
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={NOTEBOOKS}",
            f"--IdentityProvider.token={token}",
            f"--LabApp.workspaces_dir={tmp_path / 'workspaces'}",
            *options,
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for_server(f"{base}/api/status?token={token}", server, log.name)
        page = "lab/tree" if application == "lab" else "notebooks"
        yield f"{base}/{page}/{copy.name}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()
        copy.unlink(missing_ok=True)


def wait_for_server(address, server, log):
    for _ in range(240):
        assert server.poll() is None, f"Jupyter ended at its start; see {log}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.25)
    pytest.fail("Jupyter did not answer within a minute")


@contextlib.contextmanager
def browser(**options):
    """An empty page in Chromium."""
    chromium = need_program("chromium", "chromium-browser", "google-chrome")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 1000}, **options)
        browser.close()


@contextlib.contextmanager
def opened(address):
    """The notebook at this address in Chromium, its kernel named and nothing asked."""
    with browser() as page:
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
        # The kernel's name appears once it runs.
        page.locator(".jp-KernelName", has_text="Rust (Onramp)").first.wait_for(timeout=120_000)
        assert page.locator(".jp-Dialog").count() == 0, "a dialog asks something before the learner has begun"
        yield page


def run_all(page, content):
    # A command that comes before the page has its kernel is lost, and so is one that comes while menus are still made.
    for _ in range(3):
        page.keyboard.press("Escape")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        if cells_begun(page):
            break
    wait_until_finished(page, sum(cell.cell_type == "code" for cell in content.cells))


def test_run_all_draws_the_figures(lesson, tmp_path):
    with serve("lab", lesson, tmp_path) as address, opened(address) as page:
        run_all(page, lesson)
        drawn = count_drawn(page)
        figure = page.locator(".jp-NotebookPanel .js-plotly-plot").first
        figure.scroll_into_view_if_needed()
        # Cells that were out of sight are laid out anew, and their figures drawn again.
        figure.locator(CURVES).first.wait_for(state="visible")
        page.screenshot(path=OUTPUT / "lesson.png")
    assert len(drawn) >= 3, f"figures with drawn curves: {drawn}"
    assert all(count > 0 for count in drawn), f"a figure without a single drawn curve: {drawn}"


SHORT = [
    ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;',
    "let run = Training::new(Mlp::new(64).inputs(64)).data(Source::digits()).steps(300).run()?;\nrun",
    'for lane in progress("counting lanes", 0..20) {\n    std::thread::sleep(std::time::Duration::from_millis(50));\n}',
    'let lanes: usize = "four";',
]
DARK = {"theme": "JupyterLab Dark", "adaptive-theme": False}


@pytest.mark.parametrize("application, theme", [("lab", DARK), ("notebook", None)])
def test_a_training_its_figure_and_an_error_are_shown(application, theme, tmp_path):
    short = notebook(*SHORT)
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(theme or {}))
    options = [f"--LabApp.user_settings_dir={tmp_path / 'settings'}"] if application == "lab" else []
    with serve(application, short, tmp_path, *options) as address, opened(address) as page:
        run_all(page, short)
        drawn = count_drawn(page)
        light = page.evaluate("document.body.dataset.jpThemeLight")
        said = page.locator(".jp-NotebookPanel").inner_text()
        page.screenshot(path=OUTPUT / f"short-{application}.png")
    assert len(drawn) == 1 and drawn[0] > 0, f"figures with drawn curves: {drawn}"
    assert light == ("false" if theme else "true")
    assert "counting lanes: 20 of 20" in said and "mismatched types" in said


def cells_begun(page):
    """Whether some cell is waited for or has run, after half a minute at most."""
    begun = page.locator(".jp-NotebookPanel .jp-CodeCell .jp-InputArea-prompt", has_text=re.compile(r"\[[*\d]+\]"))
    deadline = time.monotonic() + 30
    while begun.count() == 0 and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    return begun.count() > 0


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
    prompts = page.locator(".jp-NotebookPanel .jp-CodeCell .jp-InputArea-prompt").all_inner_texts()
    status = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator").get_attribute("data-status", timeout=1000)
    pytest.fail(
        f"{finished} of {code_cells} cells had finished after {RUN_ALL_SECONDS} s (prompts {prompts}, kernel {status}); "
        "see target/lab/lesson-unfinished.png"
    )


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
