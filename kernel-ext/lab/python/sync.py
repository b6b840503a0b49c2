"""Writes the lessons' notebooks from their text sources, or checks that they are current.

usage: sync.py [--check] NOTEBOOKS_FOLDER REPLACED_FOLDER

Every `NAME.md` with a notebook header becomes `NAME.ipynb`, without outputs, with cell ids that do not change from run
to run. A notebook that somebody had changed is copied into REPLACED_FOLDER before it is written anew. Prints one line
for each lesson; exits 1 when --check finds a notebook that is not current.
"""

import shutil
import sys
from pathlib import Path

import jupytext
import nbformat

LANGUAGE_INFO = {"file_extension": ".rs", "mimetype": "text/rust", "name": "rust"}


def is_lesson(source):
    """A lesson starts with jupytext's header; other Markdown files, such as a README, do not."""
    with source.open(encoding="utf-8") as lines:
        return lines.readline().strip() == "---" and lines.readline().strip() == "jupyter:"


def notebook_of(source):
    """The notebook's text that a source stands for."""
    notebook = jupytext.read(source)
    kernel = notebook.metadata.get("kernelspec")
    if kernel is None:
        raise SystemExit(f"{source}: its header names no kernelspec; copy the header of another lesson")
    notebook.metadata = {"kernelspec": kernel, "language_info": LANGUAGE_INFO}
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02}"
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def main():
    arguments = sys.argv[1:]
    check = "--check" in arguments
    notebooks, replaced = (Path(argument) for argument in arguments if argument != "--check")
    sources = [source for source in sorted(notebooks.glob("*.md")) if is_lesson(source)]
    behind = 0
    for source in sources:
        target = source.with_suffix(".ipynb")
        wanted = notebook_of(source)
        present = target.read_text(encoding="utf-8") if target.exists() else None
        if present == wanted:
            print(f"current  {target.name}")
        elif check:
            behind += 1
            state = "missing" if present is None else "differs"
            print(f"{state}  {target.name}: it is not what {source.name} says; run `cargo lab sync`")
        else:
            if present is not None:
                replaced.mkdir(parents=True, exist_ok=True)
                shutil.copy2(target, replaced / target.name)
                print(f"kept     the earlier {target.name} as {replaced / target.name}")
            partial = target.with_suffix(".ipynb.partial")
            partial.write_text(wanted, encoding="utf-8")
            partial.replace(target)
            print(f"written  {target.name}")
    if not sources:
        raise SystemExit(f"{notebooks}: no lesson's source was found")
    sys.exit(1 if check and behind else 0)


if __name__ == "__main__":
    main()
