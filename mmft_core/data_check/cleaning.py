"""What is to be removed, and why; and what is left, as a table that runs read."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mmft_core.contracts import Dataset, Inspector, Sample
from mmft_core.data_check.findings import KINDS, Finding
from mmft_core.errors import ConfigError, DataError
from mmft_core.files import replacing

BY_DEFAULT = (
    "unreadable",
    "no-label",
    "empty",
    "silent",
    "blank",
    "conflict",
    "leak",
    "duplicate",
    "near-leak",
)
"""Kinds whose samples go unless others are asked for: those that nobody can learn from, and those
that make a test easier than it looks."""

TARGET_COLUMNS = {"class": "label", "number": "target", "text": "target", "pair": "label"}
_DEFECT_KINDS = frozenset(KINDS) - {"rare-class", "absent-class"}


def removals(findings: Iterable[Finding], kinds: Sequence[str]) -> list[Finding]:
    """The findings for which samples go, one for each sample.

    Of copies that contradict each other both go, for nobody knows which is right.

    Raises:
        ConfigError: there is no such kind, or it is not of samples.
    """
    for kind in kinds:
        if kind not in _DEFECT_KINDS:
            raise ConfigError(
                f"--remove {kind} is no kind of finding that single samples have.",
                hint=f"There are {', '.join(k for k in KINDS if k in _DEFECT_KINDS)}.",
            )
    chosen: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        if finding.kind in kinds and finding.index is not None:
            chosen.setdefault((finding.split, finding.id), finding)
    return list(chosen.values())


def write_manifest(
    file: Path,
    dataset: Dataset,
    inspectors: Mapping[str, Inspector],
    target: str,
    removed: Iterable[Finding],
) -> int:
    """Write the samples that are left as a CSV with a column for their split.

    Paths are relative to the file where they lie below its folder, else absolute.

    Returns:
        how many they are.

    Raises:
        DataError: samples are in memory alone, so that no table can name them.
        StorageError: it cannot be written.
    """
    gone = {(finding.split, finding.index) for finding in removed}
    rows = []
    for name, split in dataset.splits.items():
        for index in range(len(split)):
            if (name, index) not in gone:
                sample = split[index]
                cells = dict(_cells(sample, inspectors, file.absolute().parent))
                if sample.target is not None:
                    cells[TARGET_COLUMNS[target]] = str(sample.target)
                rows.append(cells | {"split": name})
    columns = dict.fromkeys(column for row in rows for column in row if column != "split")
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, [*columns, "split"])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def write_removals(file: Path, removed: Sequence[Finding]) -> None:
    """Write what was left out as a CSV: split, id, kind, reason."""
    with replacing(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["split", "id", "kind", "reason"])
        writer.writerows([f.split, f.id, f.kind, f.text] for f in removed)


def _cells(
    sample: Sample, inspectors: Mapping[str, Inspector], folder: Path
) -> Iterator[tuple[str, str]]:
    for modality, raw in sample.inputs.items():
        if raw is None:
            continue
        if isinstance(raw, Mapping):
            yield from ((str(k), "" if v is None else str(v)) for k, v in raw.items())
            continue
        cells = inspectors[modality].cells(raw) if modality in inspectors else {}
        if not cells:
            raise DataError(
                f"{sample.id}: its {modality} is in no file, so a table cannot name it.",
                hint="Clean data sets that are made of files and texts.",
            )
        yield from ((k, _relative(v, folder)) for k, v in cells.items())


def _relative(cell: str, folder: Path) -> str:
    """A path as it is found from a folder; other cells as they are."""
    if os.sep not in cell or "\n" in cell or not _exists(cell):
        return cell
    path = Path(cell).absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _exists(cell: str) -> bool:
    try:
        return Path(cell).exists()
    except (OSError, ValueError):  # Too long for a name, or with a zero byte: it is a text.
        return False
