"""A contact sheet: queries with what was found for them, as one page to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmft_core.utils import write_text
from mmft_report.gallery import Shown, shown
from mmft_report.templating import render
from mmft_report.wording import encodable
from mmft_search.searching import Answer, Searcher

BUDGET = 20_000_000
"""Bytes of previews that a page holds; items beyond are shown by name."""


def write_sheet(file: Path, searcher: Searcher, answers: Sequence[Answer]) -> None:
    """Write the page.

    Raises:
        StorageError: it cannot be written.
    """
    modality, left = searcher.index.identity.modality, BUDGET
    rows = []
    for answer in answers:
        hits: list[tuple[str, str, Shown | None]] = []
        for hit in answer.hits:
            preview = searcher.preview(hit.key) if left > 0 else None
            left -= len(preview.data) if preview is not None else 0
            picture = None if preview is None else shown(modality, preview)
            hits.append((hit.id, f"{hit.score:.4f}", picture))
        asked = searcher.preview_query(answer)
        query = None if asked is None else shown(answer.modality, asked)
        rows.append({"answer": answer, "query": query, "hits": hits})
    items = len(searcher.index)
    write_text(file, encodable(render("mmft_search/sheet.html.j2", rows=rows, items=items)))
