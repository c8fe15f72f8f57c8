"""A report as one page, with the samples that were found to be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmft_core.contracts import Dataset, Inspector
from mmft_core.errors import SampleError
from mmft_core.loading import UNDECODABLE
from mmft_core.utils import write_text
from mmft_data_check.findings import Finding, Report, heading
from mmft_report.gallery import Shown, shown
from mmft_report.templating import render
from mmft_report.wording import encodable

_SHOWN = 24
"""Findings of each kind that are shown with their samples; the others are only named."""


def write_page(
    file: Path, report: Report, dataset: Dataset, inspectors: Mapping[str, Inspector]
) -> None:
    """Write the page.

    Raises:
        StorageError: it cannot be written.
    """
    sections: list[dict[str, Any]] = []
    for kind, findings in report.by_kind().items():
        rows = [
            (finding, list(_samples(finding, dataset, inspectors)) if place < _SHOWN else [])
            for place, finding in enumerate(findings)
        ]
        sections.append({"kind": kind, "heading": heading(kind), "rows": rows})
    tokens = any(facts.learned for facts in report.splits.values())
    page = render("mmft_data_check/data.html.j2", report=report, sections=sections, tokens=tokens)
    write_text(file, encodable(page))


def _samples(
    finding: Finding, dataset: Dataset, inspectors: Mapping[str, Inspector]
) -> Iterator[list[Shown]]:
    """The sample of a finding and, beside it, the other that it is about."""
    if finding.index is None or finding.kind == "unreadable":
        return
    for place in ((finding.split, finding.index), finding.other_place):
        previews = [] if place is None else list(_previews(*place, dataset, inspectors))
        if previews:
            yield previews


def _previews(
    split: str, index: int, dataset: Dataset, inspectors: Mapping[str, Inspector]
) -> Iterator[Shown]:
    try:
        sample = dataset.splits[split][index]
        for modality, inspector in inspectors.items():
            raw = sample.inputs.get(modality)
            preview = None if raw is None else inspector.preview(raw)
            picture = None if preview is None else shown(modality, preview)
            if picture is not None:
                yield picture
    except (SampleError, *UNDECODABLE):
        return
