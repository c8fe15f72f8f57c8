"""Checking a data set: every sample is looked at once, and all of them are compared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from mmft_core.contracts import Dataset, Inspector
from mmft_core.data import absent_classes, classes_of, scale_notes, target_scale, together
from mmft_core.errors import some_of
from mmft_data_check.duplicates import find_duplicates
from mmft_data_check.findings import ORDER, Finding, Report, SplitFacts
from mmft_data_check.labels import find_suspects, find_uneven
from mmft_data_check.looking import Look, look
from mmft_data_check.sizes import find_long, find_long_targets

_FEW = 5
"""A random tenth of a class with fewer samples may be empty."""


def check(
    dataset: Dataset,
    inspectors: Mapping[str, Inspector],
    target: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check all samples of a data set.

    Args:
        inspectors: by modality; inputs of other modalities are only checked for presence.
        target: what its targets are.
    """
    started = time.perf_counter()
    train = dataset.splits.get("train") or together(dataset.splits.values())
    fitted = [note for m, inspector in inspectors.items() for note in inspector.fit(train, m)]
    looks = list(look(dataset.splits, inspectors, on_progress))
    counts = {
        name: Counter(c for s in looks if s.split == name for c in classes_of(s.target))
        for name in dataset.splits
    }
    findings = [*_of_single(looks, target), *find_long(looks, inspectors)]
    findings += find_duplicates(looks, inspectors, classes=bool(dataset.info.classes))
    if target == "text":
        findings += find_long_targets(looks)
    if dataset.info.classes:
        known = {f.id for f in findings if f.kind == "conflict"}  # One or the other is wrong.
        findings += find_suspects([s for s in looks if s.id not in known])
        findings += find_uneven(counts)
    named = set(dataset.info.classes)
    return Report(
        name=dataset.info.name,
        splits={
            name: SplitFacts(
                samples=len(split),
                classes=dict(sorted(counts[name].items())) if named else {},
                sizes=_sizes([s for s in looks if s.split == name], inspectors),
            )
            for name, split in sorted(dataset.splits.items(), key=lambda s: ORDER.get(s[0], 3))
        },
        findings=findings,
        notes=[
            *dataset.info.notes,
            *fitted,
            *_of_splits(dataset, target, counts),
            *_notes(looks, inspectors),
        ],
        warnings=dataset.info.warnings,
        seconds=time.perf_counter() - started,
    )


def _of_single(looks: Sequence[Look], target: str) -> Iterator[Finding]:
    """What is wrong with single samples."""
    unlabelled = "has no text to learn, such as an answer" if target == "text" else "has no label"
    modalities = {modality for sample in looks for modality in sample.held}
    labelled = any(sample.target is not None for sample in looks)
    for sample in looks:
        faults: list[tuple[str, str]] = []
        if sample.error:
            faults.append(sample.error)
        else:
            lacking = sorted(modalities - set(sample.held))
            if lacking:
                faults.append(("missing", f"has no {' and no '.join(lacking)}"))
            if labelled and sample.target is None:
                faults.append(("no-label", unlabelled))
            for traits in sample.traits.values():
                faults += traits.faults.items()
            faults += (("odd", f"has {text}") for text in sample.remarks)
        for kind, text in faults:
            yield Finding(
                kind=kind, split=sample.split, index=sample.index, id=sample.id, text=text
            )


def _of_splits(
    dataset: Dataset, target: str, counts: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """Which classes splits lack, or may lack once they are drawn; what is odd about numbers."""
    of_class = {(s, name): n for s, own in counts.items() for name, n in own.items()}
    yield from absent_classes(of_class, dataset.info.classes)
    train = dataset.splits.get("train")
    if target == "number" and train is not None:
        yield from scale_notes(target_scale(train))
    if len(dataset.splits) == 1 and dataset.info.classes and train is not None:
        few = [f"{name} ({n:,})" for name, n in counts["train"].items() if n < _FEW]
        if few:
            yield (
                f"a random division may leave val or test without {len(few):,} of "
                f"{len(dataset.info.classes):,} classes, which have few samples: "
                f"{some_of(few).rstrip('.')}"
            )


def _sizes(
    looks: Sequence[Look], inspectors: Mapping[str, Inspector]
) -> dict[str, tuple[str, float, float, float]]:
    found = {}
    for modality, inspector in inspectors.items():
        sizes = [s.traits[modality].size for s in looks if modality in s.traits]
        if sizes:
            low, middle, high = (float(q) for q in np.quantile(sizes, (0.0, 0.5, 1.0)))
            found[modality] = (inspector.unit, low, middle, high)
    return found


def _notes(looks: Sequence[Look], inspectors: Mapping[str, Inspector]) -> list[str]:
    bare = sorted({m for sample in looks for m in sample.held} - inspectors.keys())
    return [f"{', '.join(bare)}: checked only for presence"] if bare else []
