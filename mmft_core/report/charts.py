"""Line charts of a training as inline SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")  # No window is opened, and no screen is needed.

from matplotlib.figure import Figure

_INK, _GRID = "#808892", "#80889240"  # Legible on light and on dark pages.
_COLOURS = ("#3b82f6", "#f97316", "#10b981", "#a855f7")
_POINTS = 1000


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    faint: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawn chart: its title and its SVG."""

    title: str
    svg: str


def curves(history: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Draw loss, learning rate and every figure of the evaluations over the steps.

    Args:
        history: the records of `metrics.jsonl`.
    """
    steps = [r for r in history if "split" not in r]
    evaluations = [r for r in history if r.get("split") == "val"]
    charts = []
    if steps:
        raw = _series(steps, "loss")
        lines = [
            Line("train", *raw, faint=True),
            Line("train, smoothed", raw[0], _smoothed(raw[1])),
        ]
        if any(_number(r.get("loss")) for r in evaluations):
            lines.append(Line("val", *_series(evaluations, "loss"), marked=True))
        charts += [_draw("Loss", lines), _draw("Learning rate", [Line("", *_series(steps, "lr"))])]
    known = {"step", "epoch", "split", "best", "loss"}
    names = dict.fromkeys(name for r in evaluations for name in r if name not in known)
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition("/")[0], []).append(name)
    for family, members in families.items():
        lines = [Line(m.partition("/")[2], *_series(evaluations, m), marked=True) for m in members]
        charts.append(_draw(family, lines))
    return charts


def _series(records: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    found = [(r["step"], r[name]) for r in records if _number(r.get(name))]
    stride = max(1, len(found) // _POINTS)
    return [x for x, _ in found[::stride]], [y for _, y in found[::stride]]


def _number(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential moving average over about a tenth of the line, unbiased at its start."""
    weight = 1 - 1 / max(2.0, len(values) / 10)
    smoothed, average = [], 0.0
    for count, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        smoothed.append(average / (1 - weight**count))
    return smoothed


def _draw(title: str, lines: Sequence[Line]) -> Chart:
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(4.6, 2.7), layout="constrained")
        axes = figure.add_subplot()
        colours = iter(_COLOURS * 4)
        for line in lines:
            axes.plot(
                line.x,
                line.y,
                color=_INK if line.faint else next(colours),
                alpha=0.35 if line.faint else 1.0,
                linewidth=1.0 if line.faint else 1.8,
                marker="o" if line.marked and len(line.x) <= 40 else None,
                markersize=3,
                label=line.label,
            )
        axes.grid(color=_GRID, linewidth=0.6)
        axes.tick_params(colors=_INK, labelsize=8, length=0)
        axes.set_xlabel("step", color=_INK, fontsize=8)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if len(lines) > 1:
            axes.legend(fontsize=8, frameon=False, labelcolor=_INK)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return Chart(title, svg[svg.index("<svg") :])
