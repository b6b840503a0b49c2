"""A notebook as a page that is read without Jupyter and without a network."""

import subprocess

import nbformat
import pytest

from conftest import OUTPUT, ROOT, nbconvert, notebook, venv_program
from test_browser import CURVES, browser


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with two figures, after its run."""
    folder = tmp_path_factory.mktemp("export")
    first = f':dep onramp = {{ path = "{ROOT / "helpers"}" }}\nuse onramp::prelude::*;'
    training = "let run = Training::new(Mlp::new(64).inputs(64)).data(Source::digits()).steps({}).run()?;\nrun"
    nbformat.write(notebook(first, training.format(50), training.format(100)), folder / "figures.ipynb")
    process, path = nbconvert(folder / "figures.ipynb", folder / "executed")
    assert process.returncode == 0, process.stderr
    return path


def converted(path, *options):
    """The page that nbconvert makes of this notebook."""
    command = [venv_program("jupyter"), "nbconvert", path, f"--output-dir={path.parent}", *options]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert process.returncode == 0, process.stderr
    return max(path.parent.glob("*.html"), key=lambda page: page.stat().st_mtime)


def test_an_exported_page_draws_its_figures_offline(executed):
    page_file = converted(executed, "--to=html")
    assert page_file.read_text().count("plotly.js v") == 1, "plotly.js is in the page once"
    asked_for = []
    with browser() as page:
        page.route("http*://**", lambda route: (asked_for.append(route.request.url), route.abort()))
        page.goto(page_file.as_uri())
        for place in range(2):
            figure = page.locator(".onramp-figure").nth(place)
            figure.locator(CURVES).first.wait_for(state="attached", timeout=30_000)
            assert figure.locator(CURVES).count() == 2
        figure.scroll_into_view_if_needed()
        page.screenshot(path=OUTPUT / "exported.png")
    assert not [address for address in asked_for if "plotly" in address or "require" in address], asked_for


def test_without_scripts_the_figure_is_still_a_picture(executed):
    page_file = converted(executed, "--to=html")
    with browser(java_script_enabled=False) as page:
        page.goto(page_file.as_uri())
        picture = page.locator(".onramp-figure svg").first
        assert picture.locator("polyline").count() == 2
        assert picture.bounding_box()["width"] > 300


def test_slides_keep_their_own_template_and_a_page_without_figures_stays_small(executed, tmp_path):
    slides = converted(executed, "--to=slides")
    assert "reveal" in slides.read_text()
    nbformat.write(notebook("let lanes = 4;"), tmp_path / "small.ipynb")
    assert converted(tmp_path / "small.ipynb", "--to=html").stat().st_size < 1_000_000
