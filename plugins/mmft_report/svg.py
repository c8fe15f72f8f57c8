"""Line charts as inline SVG, coloured by the page's style sheet, in dark and light.

A chart is a few hundred bytes a line: no fonts and no styles of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 24
COLOURS = 6
"""Colours that the page has for lines."""

_BUCKETS = 160
"""Columns that a long line is gathered into, each drawn from its lowest to its highest value."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart.

    Attributes:
        points: (x, y), finite, by rising x.
        style: "raw" is faint and cut where it leaves the frame of the others, "marked" has a dot
            for each point.
        colour: its number among the page's colours.
        dash: 1 for dashes, 2 for dots, to tell more lines apart than there are colours.
    """

    label: str
    points: Sequence[tuple[float, float]]
    style: Literal["line", "raw", "marked"] = "line"
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawn chart."""

    title: str
    lines: tuple[Line, ...]
    svg: Markup


@dataclass(frozen=True)
class Axis:
    """Maps values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw(title: str, lines: Sequence[Line], best: float | None = None) -> Chart | None:
    """Draw lines over the steps; None if there is nothing to draw.

    Args:
        best: the step of the model that was kept.
    """
    lines = tuple(line for line in lines if line.points)
    if not lines:
        return None
    framed = [line for line in lines if line.style != "raw"] or lines
    steps = [x for line in lines for x, _ in line.points]
    x = axis(min(0, *steps), max(steps), LEFT, WIDTH - RIGHT, pad=0.0)
    heights = [y for line in framed for _, y in line.points]
    y = axis(min(heights), max(heights), HEIGHT - BOTTOM, TOP, pad=0.06)
    parts = [*_grid(x, y), *(_line(line, x, y) for line in lines)]
    if best is not None and x.low <= best <= x.high:
        at = f"{x(best):.1f}"
        frame = f'x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
        parts.append(f'<line class="best" {frame}><title>the model that was kept</title></line>')
    return Chart(title=title, lines=lines, svg=_svg(title, x, y, parts))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, about `count` of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the lowest and the highest point of each of at most `_BUCKETS` stretches."""
    if len(points) <= 2 * _BUCKETS:
        return list(points)
    kept = [points[0]]
    for bucket in range(_BUCKETS):
        start, end = (len(points) * b // _BUCKETS for b in (bucket, bucket + 1))
        stretch = points[start:end]
        extremes = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(extremes - {kept[-1]})
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def axis(low: float, high: float, start: float, end: float, pad: float) -> Axis:
    """An axis that shows from `low` to `high`, and a share of `pad` more at either end."""
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        pad, slack = 0.0, abs(low) * 0.1 or 1.0
        low, high = low - slack, high + slack
    slack = (high - low) * pad
    return Axis(low - slack, high + slack, start, end)


def _grid(x: Axis, y: Axis) -> list[str]:
    parts = levels(y)
    for value in ticks(x.low, x.high):
        if value == int(value):
            middle = min(x(value), WIDTH - RIGHT - 8)
            text = f'<text x="{middle:.1f}" y="{HEIGHT - 7}" class="mid">{tick(value)}</text>'
            parts.append(text)
    return parts


def levels(y: Axis) -> list[str]:
    """Lines across, at round numbers."""
    parts = []
    for value in ticks(y.low, y.high):
        at, right = f"{y(value):.1f}", WIDTH - RIGHT
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at}" dy=".32em" class="end">{tick(value)}</text>')
    return parts


def tick(value: float) -> str:
    """A number beside an axis."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"


def _line(line: Line, x: Axis, y: Axis) -> str:
    placed = [(x(a), min(max(y(b), TOP), HEIGHT - BOTTOM)) for a, b in thin(line.points)]
    spots = [(f"{a:.1f}", f"{b:.1f}") for a, b in placed]
    points = " ".join(f"{a},{b}" for a, b in spots)
    dash = f" d{line.dash}" if line.dash else ""
    drawn = (
        f'<polyline class="{line.style} c{line.colour}{dash}" points="{points}" '
        f'data-label="{escape(line.label)}"/>'
    )
    if len(spots) == 1 or (line.style == "marked" and len(spots) <= 40):
        for a, b in spots:
            drawn += f'<circle class="c{line.colour}" cx="{a}" cy="{b}" r="2.5"/>'
    return drawn


def _svg(title: str, x: Axis, y: Axis, parts: Sequence[str]) -> Markup:
    scale = " ".join(f"{v:.8g}" for a in (x, y) for v in (a.low, a.high, a.start, a.end))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" data-scale="{scale}">{"".join(parts)}</svg>'
    )
