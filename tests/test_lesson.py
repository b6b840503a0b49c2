"""The lesson, executed from its first cell to its last as a learner or CI would."""

import re

import nbformat
import pytest
from nbconvert.preprocessors import ExecutePreprocessor

from conftest import CELL_SECONDS, LESSON, NOTEBOOKS, OUTPUT, nbconvert, notebook

PLOTLY = "application/vnd.plotly.v1+json"
ANSWERS = ("MYTH", "HOLDS HERE", "INCONCLUSIVE")


@pytest.fixture(scope="module")
def executed():
    """The lesson after `jupyter nbconvert --execute`."""
    process, path = nbconvert(LESSON, OUTPUT / "executed")
    assert process.returncode == 0, process.stderr
    return nbformat.read(path, as_version=4)


def outputs(executed, kind):
    return [output for cell in executed.cells for output in cell.get("outputs", []) if output.output_type == kind]


def shown(executed):
    """The data of everything that the lesson displays, by mime type."""
    return [output.data for output in outputs(executed, "display_data") + outputs(executed, "execute_result")]


def tagged(lesson, tag):
    """Indices of the cells with this tag."""
    return [index for index, cell in enumerate(lesson.cells) if tag in cell.metadata.get("tags", [])]


def solution_of(cell):
    """The Rust code inside a solution's Markdown."""
    (code,) = re.findall(r"```rust\n(.*?)```", cell.source, re.DOTALL)
    return code


ZEROS = "for place in 0..gradients[0].len() { gradients[0][place] = 0.0; }"
SUM_FOR_MEAN = """
    let sums: Vec<f32> = (0..gradients[0].len()).map(|place| gradients.iter().map(|g| g[place]).sum()).collect();
    for gradient in gradients.iter_mut() { gradient.copy_from_slice(&sums); }
"""
OUT_OF_BOUNDS = "let index = gradients[0].len(); gradients[0][index] = 1.0;"
NO_PREDICTION = "DataParallel::new(Mlp::new(16)).workers([1, 2]).rows_per_worker([8, 16]).link(Link::lan()).run()?"


@pytest.fixture(scope="module")
def attempts(lesson):
    """What a learner may put in the exercise's place, executed after the lesson's first cell; outputs by source."""
    (solution,) = tagged(lesson, "solution")
    wrong = [
        f"fn average(gradients: &mut [Vec<f32>]) {{ {body} }}\ncheck::all_reduce_mean(average)?"
        for body in (ZEROS, SUM_FOR_MEAN, OUT_OF_BOUNDS)
    ]
    sources = [solution_of(lesson.cells[solution]), *wrong, NO_PREDICTION]
    first = next(cell.source for cell in lesson.cells if cell.cell_type == "code")
    tried = notebook(first, *sources)
    ExecutePreprocessor(timeout=CELL_SECONDS, allow_errors=True).preprocess(
        tried, {"metadata": {"path": str(NOTEBOOKS)}}
    )
    names = ["solution", "zeros", "sum_for_mean", "out_of_bounds", "no_prediction"]
    return dict(zip(names, (cell.outputs for cell in tried.cells[1:]), strict=True))


def errors_of(results):
    return [output for output in results if output.output_type == "error"]


def test_every_figure_is_drawn_with_its_intervals(executed):
    figures = [data[PLOTLY] for data in shown(executed) if PLOTLY in data]
    assert len(figures) >= 3
    for figure in figures:
        assert figure["layout"]["title"]["text"]
        for axis in ("xaxis", "yaxis"):
            assert figure["layout"][axis]["title"]["text"], "an axis without a name"
        assert all(len(trace["x"]) == len(trace["y"]) > 0 for trace in figure["data"])
    with_intervals = [trace for figure in figures for trace in figure["data"] if "error_y" in trace]
    assert any(max(trace["error_y"].get("array") or [0]) > 0 for trace in with_intervals), "no series has error bars"


def test_the_figures_draw_each_origin_of_a_number_as_a_series_of_its_own(executed):
    traces = [trace for data in shown(executed) if PLOTLY in data for trace in data[PLOTLY]["data"]]
    names = " ".join(trace.get("name", "") for trace in traces)
    for origin in ("measured", "emulated", "replayed", "published"):
        assert origin in names, f"no series is drawn as {origin}"


def test_the_law_was_fitted_and_its_half_predicted(executed):
    texts = [data.get("text/plain", "") for data in shown(executed)]
    assert any("b*" in text and "predicted" in text for text in texts), texts


def test_the_verdicts_stand_beside_the_prediction(executed):
    verdicts = [data for data in shown(executed) if any(answer in data.get("text/plain", "") for answer in ANSWERS)]
    assert len(verdicts) >= 2, "the lesson shows the belief in two settings"
    assert all("text/html" in verdict for verdict in verdicts)
    assert any("you said" in verdict["text/plain"].lower() for verdict in verdicts), verdicts


def test_only_the_exercise_fails_when_nothing_was_solved(executed):
    (exercise,) = tagged(executed, "exercise")
    failing = [
        index
        for index, cell in enumerate(executed.cells)
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    ]
    assert failing == [exercise]
    (error,) = [output for output in executed.cells[exercise].outputs if output.output_type == "error"]
    assert error.ename == "UserError"
    assert len(error.evalue) > 20, "the check gives no hint"


def test_the_solution_passes_the_check_that_the_stub_fails(attempts):
    results = attempts["solution"]
    assert errors_of(results) == []
    assert any("Passed" in output.get("data", {}).get("text/plain", "") for output in results)


@pytest.mark.parametrize(
    ("wrong", "because"), [("zeros", ""), ("sum_for_mean", "sum"), ("out_of_bounds", "panic")]
)
def test_wrong_solutions_fail_and_are_told_why(attempts, wrong, because):
    errors = errors_of(attempts[wrong])
    assert [error.ename for error in errors] == ["UserError"]
    assert because in errors[0].evalue


def test_a_run_without_a_prediction_is_refused(attempts):
    (error,) = errors_of(attempts["no_prediction"])
    assert "Prediction" in "\n".join(error.traceback), "the message does not say that a prediction is missing"


def test_the_committed_notebook_has_no_outputs(lesson):
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    assert code[0].source == ':dep onramp = { path = "../helpers" }\nuse onramp::prelude::*;'
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert LESSON.with_suffix(".md").exists()
