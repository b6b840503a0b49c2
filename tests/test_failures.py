"""A cell that fails must fail the run: `jupyter nbconvert --execute` exits non-zero, names the error, and loses nothing
that the cell had printed."""

import concurrent.futures
import re
from dataclasses import dataclass

import nbformat
import pytest

from conftest import nbconvert, notebook


@dataclass(frozen=True)
class Case:
    """A cell that must fail."""

    source: str
    ename: str
    #: what the message, the error's value or its traceback must contain
    mentions: str
    #: what the cell printed before it failed
    printed: str = ""


CASES = {
    "panic": Case('panic!("the tank is empty");', "Panic", "the tank is empty"),
    "assertion": Case('println!("before"); assert_eq!(1 + 1, 3, "sums");', "Panic", "sums", "before"),
    "question_mark": Case(
        'println!("before"); let rows: usize = "twelve".parse::<usize>()?;', "UserError", "invalid digit", "before"
    ),
    "compile_error": Case('let rows: usize = "twelve";', "E0308", "mismatched types"),
    "process_exit": Case('println!("before"); std::process::exit(3);', "ProcessExit", "3", "before"),
    "abort": Case("std::process::abort();", "ProcessCrash", ""),
    "abort_right_after_printing": Case(
        'for line in 0..200 { println!("line {line}"); } std::process::abort();', "ProcessCrash", "", "line 199"
    ),
    "no_newline_before_panic": Case('print!("half a line"); panic!("stop");', "Panic", "stop", "half a line"),
    "no_newline_before_exit": Case('print!("half a line"); std::process::exit(4);', "ProcessExit", "4", "half a line"),
    "no_newline_before_abort": Case(
        'print!("half a line"); std::process::abort();', "ProcessCrash", "", "half a line"
    ),
    "no_newline_before_a_segmentation_fault": Case(
        'print!("half a line"); unsafe { std::ptr::null::<u8>().read_volatile() };',
        "ProcessCrash",
        "memory that is not its own",
        "half a line",
    ),
    "stack_overflow": Case(
        "fn deeper(depth: u64) -> u64 { std::hint::black_box(deeper(std::hint::black_box(depth + 1)) + 1) }\n"
        'println!("before"); println!("{}", deeper(0));',
        "ProcessCrash",
        "stack",
        "before",
    ),
    "child_left_behind": Case(
        'println!("before");\n'
        'let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();\n'
        "std::mem::forget(child);\n"
        "std::process::abort();",
        "ProcessCrash",
        "",
        "before",
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each case executed by nbconvert, two at a time: starting a kernel is mostly waiting for one core."""
    folder = tmp_path_factory.mktemp("failures")

    def run(name):
        path = folder / f"{name}.ipynb"
        marker = 'println!("a cell after the failure ran");'
        nbformat.write(notebook("let ready = 1;", CASES[name].source, marker), path)
        return nbconvert(path, folder / "executed")[0]

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(CASES, pool.map(run, CASES)))


def plain(text):
    """Without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("name", CASES)
def test_nbconvert_reports_the_failure(runs, name):
    case, process = CASES[name], runs[name]
    said = plain(process.stderr)
    assert process.returncode != 0, f"nbconvert exited 0 although the cell failed:\n{said}"
    headline = rf"^({case.ename}|error\[{case.ename}\]): "  # the second as rustc writes it
    assert re.search(headline, said, re.MULTILINE), f"no line starts with {case.ename!r}:\n{said}"
    assert case.mentions in said
    # nbclient quotes the cell's source first; what it printed stands between the rules after it.
    after_source = said.split(case.source.splitlines()[-1], 1)[-1]
    assert case.printed in after_source, f"{case.printed!r} was printed and lost:\n{said}"
    assert "a cell after the failure ran" not in after_source
