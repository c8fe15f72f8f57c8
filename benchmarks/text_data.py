"""Texts for the benchmarks: documentation strings of installed packages, as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmft_core import DatasetSpec
from mmft_core.contracts import DatasetContext
from mmft_core.discovery import discover


def make_table(
    path: Path,
    texts: int,
    *,
    split: str = "train",
    target: str = "class",
    column: str = "label",
    only: Sequence[str] = (),
) -> Path:
    """Write texts from all over a split, and their targets, as JSONL.

    Args:
        target: "class" for the package that a text comes from, "text" for its first sentence.
        column: what the targets' column is called.
        only: these targets.
    """
    component = discover().get(DatasetSpec, "text/docstrings")
    data = component.build(component.options_type()(), DatasetContext(target=target))
    samples = data.splits[split]
    chosen = [k for k in range(len(samples)) if not only or samples.target(k) in only]
    texts = min(texts, len(chosen))
    with path.open("w", encoding="utf-8") as file:
        for number in range(texts):
            sample = samples[chosen[number * len(chosen) // texts]]
            row = {"text": sample.inputs["text"], column: sample.target}
            file.write(json.dumps(row) + "\n")
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
