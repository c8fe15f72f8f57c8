"""Figures in the tables of tutorials and guides are those that docs/results.md has measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
_FIGURE = re.compile(r"(?<![\w.=-])\d+\.\d{2,}(?![\w.])")


def figures(page: Path) -> set[str]:
    rows = re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    # What stands in code are examples of input, and no figures.
    return {figure for row in rows for figure in _FIGURE.findall(re.sub(r"`[^`]*`", "", row))}


PAGES = [p for p in (ROOT / "docs").rglob("*.md") if p.name != "results.md" and figures(p)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_were_measured(page: Path) -> None:
    unknown = {figure for figure in figures(page) if not re.search(rf"\b{figure}\b", RESULTS)}
    assert not unknown


def test_there_are_figures() -> None:
    assert len(PAGES) > 8
