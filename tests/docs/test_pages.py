"""What the pages of the documentation say is done, block by block."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Reader, blocks
from tests.vision.narrow import narrow_models

PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if blocks(page)]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_latencies", "forked_suggest", "narrow_networks")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "site")
    before = set(sys.modules)
    reader = Reader(site=tmp_path / "site")
    # A server of its own process has whole networks, and so must have what it serves.
    serves = any("mmft serve" in block.code for block in blocks(page))
    try:
        with contextlib.nullcontext() if serves else narrow_models():
            for block in blocks(page):
                reader.do(block)
    finally:  # A plugin that a page makes is gone with it.
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(tmp_path)):
                del sys.modules[name]
