"""Executes one notebook as `jupyter nbconvert --to notebook --execute` does, and reports what failed.

usage: execute.py NOTEBOOK OUTPUT SECONDS_PER_CELL

Uses nbconvert's own ExecutePreprocessor. Unlike the command, it writes the executed notebook also when a cell fails,
so that the outputs before the failure can be read. The last line of standard output is the report, as JSON.
"""

import json
import sys
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import ExecutePreprocessor


def failing_cell(notebook):
    """Number (from 1, among the code cells) and source of the last cell that was started."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    started = [
        (number, cell.source)
        for number, cell in enumerate(cells, start=1)
        if "iopub.status.busy" in cell.metadata.get("execution", {})
    ]
    return started[-1] if started else (None, "")


def execute(notebook, folder, seconds_per_cell):
    """Executes in place; returns the report."""
    executor = ExecutePreprocessor(timeout=seconds_per_cell, startup_timeout=120)
    try:
        executor.preprocess(notebook, {"metadata": {"path": str(folder)}})
    except CellExecutionError as error:
        ename, evalue = error.ename, error.evalue
    except CellTimeoutError:
        ename, evalue = "Timeout", f"the cell took longer than {seconds_per_cell} s; --timeout sets another limit"
    except DeadKernelError:
        ename, evalue = "DeadKernel", "the kernel itself ended"
    else:
        return {"status": "ok"}
    number, source = failing_cell(notebook)
    return {"status": "failed", "cell": number, "source": source, "ename": ename, "evalue": evalue}


def main():
    path, output, seconds_per_cell = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    notebook = nbformat.read(path, as_version=4)
    report = execute(notebook, path.parent, seconds_per_cell)
    nbformat.write(notebook, output)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
