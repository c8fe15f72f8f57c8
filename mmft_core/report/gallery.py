"""The samples that a task singled out, as a reader can look at them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmft_core.contracts import Preview, Split, Task
from mmft_core.errors import SampleError
from mmft_core.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One sample: what it is, what was predicted, what is true.

    Attributes:
        previews: (kind, content): kind is "image", "audio" or "text"; content an address or text.
        prediction: the main field of the task's record, with the others below it.
        bars: (name, share) of the alternatives, where the task gives probabilities.
    """

    id: str
    target: str
    prediction: str
    bars: list[tuple[str, float]]
    previews: list[tuple[str, str]]


def collect_gallery(split: Split, evaluation: Evaluation, task: Task) -> dict[str, list[Shown]]:
    """Look up the examples of each ranking in the split that they came from."""
    wanted = {e.id for examples in evaluation.examples.values() for e in examples}
    if not wanted:
        return {}
    found = {}
    for index in range(len(split)):
        sample_id = split.sample_id(index)
        if sample_id in wanted:
            found[sample_id] = index
    return {
        ranking: [_show(split, found[e.id], e.prediction, task) for e in examples if e.id in found]
        for ranking, examples in evaluation.examples.items()
        if examples
    }


def _show(split: Split, index: int, record: Mapping[str, Any], task: Task) -> Shown:
    previews: list[tuple[str, str]] = []
    try:
        sample = split[index]
        for modality in task.backbones:
            preview = task.backbone(modality).processor.preview(sample.inputs[modality])
            if preview is not None:
                previews.append(_embed(preview))
    except (SampleError, OSError):
        previews.append(("text", "(can no longer be read)"))
    plain = [v for v in record.values() if not isinstance(v, list)]
    return Shown(
        id=split.sample_id(index),
        target=str(split.target(index)),
        prediction=str(plain[0]) if plain else "",
        bars=_bars(record),
        previews=previews,
    )


def _bars(record: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The alternatives of a record: a list of {name: str, share: float between 0 and 1}."""
    for value in record.values():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            pairs = [tuple(item.values())[:2] for item in value]
            if all(len(p) == 2 and isinstance(p[1], float) for p in pairs):
                return [(str(name), float(share)) for name, share in pairs]
    return []


def _embed(preview: Preview) -> tuple[str, str]:
    kind = preview.mime.partition("/")[0]
    if kind == "text":
        return "text", preview.data.decode("utf-8", "replace")
    return kind, f"data:{preview.mime};base64,{base64.b64encode(preview.data).decode()}"
