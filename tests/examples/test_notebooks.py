"""The notebooks run, on less data and for fewer epochs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

NOTEBOOKS = Path(__file__).parents[2] / "examples" / "notebooks"
SMALL = {
    "images": "PICTURES, EPOCHS = 100, 1",
    "texts": "EPOCHS, WIDEST = 1, 16",
    "speech": "RECORDINGS, EPOCHS = 24, 1",
    "fusion": "ROWS, EPOCHS = 40, 1",
}


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "cells are kept without their outputs"
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        small = "parameters" in cell["metadata"].get("tags", ())
        with capture_output():
            found = shell.run_cell(SMALL[name] if small else "".join(cell["source"]))
        found.raise_error()


def test_all_notebooks_are_tested() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SMALL)
