"""What is to be removed, and why; and what is left, as a table that runs read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mmft_core.contracts import Dataset, Inspector, Sample
from mmft_core.errors import ConfigError, DataError
from mmft_core.utils import replacing, spreadsheet_cell
from mmft_data_check.findings import KINDS, Finding
from mmft_data_check.tables_left import place

BY_DEFAULT = (
    "unreadable",
    "no-label",
    "target",
    "empty",
    "silent",
    "blank",
    "conflict",
    "leak",
    "duplicate",
    "near-leak",
)
"""Kinds whose samples are removed unless others are named: those that nothing can be learned from,
and those that make a test easier than it looks."""

TARGET_COLUMNS = {
    "class": "label",
    "labels": "labels",
    "number": "target",
    "text": "target",
    "pair": "label",
}
_OF_CLASSES = {"rare-class", "absent-class"}


def removals(findings: Iterable[Finding], kinds: Sequence[str]) -> list[Finding]:
    """The findings whose samples are removed, one for each sample.

    Of copies that contradict each other both are removed: nobody knows which is right.

    Raises:
        ConfigError: there is no such kind, or it is not about single samples.
    """
    findings = list(findings)
    known = dict.fromkeys((*KINDS, *(finding.kind for finding in findings)))
    for kind in kinds:
        if kind not in known or kind in _OF_CLASSES:
            raise ConfigError(
                f"--remove {kind} is not a kind of finding about single samples.",
                hint=f"There are {', '.join(k for k in known if k not in _OF_CLASSES)}.",
            )
    chosen: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        if finding.kind in kinds and finding.index is not None:
            chosen.setdefault((finding.split, finding.id), finding)
    return list(chosen.values())


def rows_left(
    dataset: Dataset,
    inspectors: Mapping[str, Inspector],
    target: str,
    folder: Path,
    removed: Iterable[Finding] = (),
) -> list[dict[str, str]]:
    """The samples that are left as rows of a table, with a column for their split if there are
    several; runs divide a table without one.

    Args:
        target: what the data set's targets are.
        folder: paths below it are relative to it; others are absolute.

    Raises:
        DataError: samples are only in memory, so a table cannot refer to them.
    """
    gone = {(finding.split, finding.index) for finding in removed}
    divided = len(dataset.splits) > 1
    rows = []
    for name, split in dataset.splits.items():
        for index in range(len(split)):
            if (name, index) not in gone:
                cells = row_of(split[index], inspectors, target, folder.absolute())
                rows.append(cells | ({"split": name} if divided else {}))
    return rows


def row_of(
    sample: Sample, inspectors: Mapping[str, Inspector], target: str, folder: Path
) -> dict[str, str]:
    """A sample as a row of a table; see `rows_left`.

    Args:
        folder: absolute.
    """
    cells = dict(_cells(sample, inspectors, folder))
    if sample.target is not None:
        labels = isinstance(sample.target, list | tuple)
        cells[TARGET_COLUMNS[target]] = (
            json.dumps(sample.target, ensure_ascii=False) if labels else str(sample.target)
        )
    return cells


def write_removals(file: Path, removed: Sequence[Finding], *, raw: bool = False) -> None:
    """Write what was left out as a CSV for a spreadsheet: split, id, kind, reason.

    Args:
        raw: without apostrophes before what a spreadsheet would take for formulas.
    """
    cell = str if raw else spreadsheet_cell
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["split", "id", "kind", "reason"])
        writer.writerows(map(cell, (f.split, f.id, f.kind, f.text)) for f in removed)


def _cells(
    sample: Sample, inspectors: Mapping[str, Inspector], folder: Path
) -> Iterator[tuple[str, str]]:
    for modality, raw in sample.inputs.items():
        if raw is None:
            continue
        cells = inspectors[modality].cells(raw) if modality in inspectors else {}
        if not cells:
            raise DataError(
                f"{sample.id}: its {modality} is not in a file, so a table cannot refer to it.",
                hint="Clean data sets that are made of files and texts.",
            )
        yield from ((k, place(v, folder, v)) for k, v in cells.items())
