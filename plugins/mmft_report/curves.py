"""The course of a training as charts: loss, learning rate, and every figure of the evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmft_core.utils import numbers
from mmft_report import svg, wording
from mmft_report.svg import Chart, Line

OTHERS = {"step", "epoch", "split", "best", "loss"}
"""What a record of an evaluation holds beside figures of metrics."""

Record = Mapping[str, Any]


def curves(history: Sequence[Record]) -> list[Chart]:
    """Draw what there is to draw.

    Args:
        history: the records of `metrics.jsonl`.
    """
    training = [r for r in history if "split" not in r]
    validation = [r for r in history if r.get("split") == "val"]
    best = next((r["step"] for r in reversed(validation) if r.get("best")), None)
    raw = points(training, "loss")
    charts = [
        svg.draw(
            "Loss",
            [
                Line(label="train, each", points=raw, style="raw"),
                Line(label="train, smoothed", points=smoothed(raw)),
                Line(label="val", points=points(validation, "loss"), style="marked", colour=1),
            ],
            best,
        )
    ]
    for family, names in _families(validation).items():
        lines = [
            Line(
                label=name.partition("/")[2] or name,
                points=points(validation, name),
                style="marked",
                colour=(number + 1) % svg.COLOURS,
            )
            for number, name in enumerate(names)
        ]
        charts.append(svg.draw(f"{wording.title(family)} on val", lines, best))
    rate = Line(label="learning rate", points=points(training, "lr"), colour=3)
    charts.append(svg.draw("Learning rate", [rate]))
    return [chart for chart in charts if chart is not None]


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A moving average over about a twentieth of the line, unbiased at its start."""
    keep = 1 - 1 / max(1.0, len(points) / 20)
    result, average = [], 0.0
    for number, (x, y) in enumerate(points, start=1):
        average = keep * average + (1 - keep) * y
        result.append((x, average / (1 - keep**number)))
    return result


def _families(records: Sequence[Record]) -> dict[str, list[str]]:
    """The figures by metric: "f1/macro" and "f1/weighted" share a chart."""
    families: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for r in records for name in r if name not in OTHERS):
        families.setdefault(name.partition("/")[0], []).append(name)
    return families


def points(records: Sequence[Record], name: str) -> list[tuple[float, float]]:
    """The course of a figure: (step, value) where it is finite, by rising step."""
    return sorted((r["step"], r[name]) for r in records if numbers.is_finite(r.get(name)))
