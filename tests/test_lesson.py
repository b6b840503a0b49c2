"""The first lesson through a real Jupyter: it executes, shows its figure and verdict, and its exercise tells right from
wrong."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import CELL_SECONDS, KERNEL, LESSON, NOTEBOOKS, nbconvert

PLOTLY = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The lesson as `jupyter nbconvert --execute` leaves it."""
    process, path = nbconvert(LESSON, tmp_path_factory.mktemp("lesson"))
    assert process.returncode == 0, process.stderr
    return nbformat.read(path, as_version=4)


def outputs(executed, kind="display_data"):
    return [
        output
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == kind
    ]


def tagged(executed, tag):
    (cell,) = [cell for cell in executed.cells if tag in cell.metadata.get("tags", [])]
    return cell


def solution(lesson):
    """The source that the hidden solution shows."""
    (source,) = re.findall(r"```rust\n(.*?)```", tagged(lesson, "solution").source, re.DOTALL)
    return source


def test_the_figure_shows_what_was_measured_emulated_and_replayed(executed):
    figures = [output.data[PLOTLY] for output in outputs(executed) if PLOTLY in output.data]
    assert len(figures) >= 3
    names = " ".join(trace.get("name", "") for figure in figures for trace in figure["data"])
    for origin in ("measured", "emulated", "replayed", "published"):
        assert origin in names, f"no series is drawn as {origin}"
    with_intervals = [trace for figure in figures for trace in figure["data"] if trace.get("error_y", {}).get("array")]
    assert with_intervals, "no series has error bars"


def test_the_verdicts_stand_beside_the_prediction(executed):
    texts = [output.data["text/plain"] for output in outputs(executed) if "text/plain" in output.data]
    verdicts = [text for text in texts if re.search(r"MYTH|HOLDS HERE|INCONCLUSIVE", text)]
    assert len(verdicts) >= 2, texts
    assert any("you said" in text.lower() for text in verdicts), verdicts


def test_the_law_was_fitted_and_its_half_predicted(executed):
    texts = [output.data["text/plain"] for output in outputs(executed) if "text/plain" in output.data]
    assert any("b*" in text and "predicted" in text for text in texts)


def test_the_stub_fails_with_a_hint(executed):
    errors = [output for output in tagged(executed, "exercise").outputs if output.output_type == "error"]
    assert [error.ename for error in errors] == ["UserError"]
    assert len(errors[0].evalue) > 20, "the hint says nothing"


def test_nothing_but_the_exercise_failed(executed):
    assert len(outputs(executed, "error")) == 1


def test_the_solution_passes(lesson):
    first = next(cell for cell in lesson.cells if cell.cell_type == "code")
    cells = [nbformat.v4.new_code_cell(first.source), nbformat.v4.new_code_cell(solution(lesson))]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=lesson.metadata)
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name=KERNEL, resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    client.execute()
    assert "passed" in notebook.cells[1].outputs[0].data["text/plain"].lower()


def test_the_notebook_carries_no_outputs(lesson):
    assert all(not cell.outputs for cell in lesson.cells if cell.cell_type == "code")
    assert Path(LESSON).with_suffix(".md").exists()
