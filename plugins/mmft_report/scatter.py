"""Dots and strands as inline SVG: figures against a number, a power or a name.

They look like the line charts; each dot has a tooltip, without a script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from mmft_report.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    axis,
    levels,
    tick,
    ticks,
)

_LONGEST = 14
"""Letters of a name beside an axis."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One dot.

    Attributes:
        x: a number, or one of the names of the chart.
        y: finite.
        title: its tooltip.
        style: "faint" for what does not count, "kept" for what was chosen.
    """

    x: float | str
    y: float
    title: str
    style: Literal["", "faint", "kept"] = ""


def scatter(
    title: str,
    dots: Sequence[Dot],
    *,
    log: bool = False,
    names: Sequence[str] | None = None,
    steps: Sequence[tuple[float, float]] = (),
) -> Markup | None:
    """Draw dots; None if there are none.

    Args:
        log: x in powers of ten; all x are positive.
        names: x is one of these, side by side.
        steps: (x, y) of a line that keeps its height until the next.
    """
    if not dots:
        return None
    place = {name: float(number) for number, name in enumerate(names or ())}
    at = [place[d.x] if isinstance(d.x, str) else math.log10(d.x) if log else d.x for d in dots]
    low, high = (-0.5, len(place) - 0.5) if names else (min(at), max(at))
    x = axis(low, high, LEFT, WIDTH - RIGHT, pad=0.0 if names else 0.04)
    y = _heights([d.y for d in dots])
    parts = [*levels(y), *_names(x, names or ()), *([] if names else _numbers(x, log))]
    if steps:
        parts.append(_stairs(steps, x, y))
    order = sorted(zip(at, dots, strict=True), key=lambda pair: pair[1].style == "kept")
    parts += [
        f'<circle class="c{1 if dot.style == "kept" else 0} {dot.style}" cx="{x(a):.1f}" '
        f'cy="{y(dot.y):.1f}" r="{4.5 if dot.style == "kept" else 3.5}">'
        f"<title>{escape(dot.title)}</title></circle>"
        for a, dot in order
    ]
    return _svg(title, parts)


def strands(
    title: str, lines: Sequence[tuple[Sequence[tuple[float, float]], str, bool]]
) -> Markup | None:
    """Draw many lines, some of them highlighted; None if there are none.

    Args:
        lines: points (x, y), a tooltip, and whether it is highlighted.
    """
    lines = sorted((line for line in lines if line[0]), key=lambda line: line[2])
    points = [point for line in lines for point in line[0]]
    if not points or len({a for a, _ in points}) < 2:
        return None
    x = axis(min(a for a, _ in points), max(a for a, _ in points), LEFT, WIDTH - RIGHT, pad=0.02)
    y = _heights([b for _, b in points])
    parts = [*levels(y), *_numbers(x, log=False)]
    for spots, text, chosen in lines:
        drawn = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in spots)
        style = "line c1" if chosen else "raw c0"
        parts.append(
            f'<polyline class="{style}" points="{drawn}"><title>{escape(text)}</title></polyline>'
        )
    return _svg(title, parts)


def _heights(values: Sequence[float]) -> Axis:
    return axis(min(values), max(values), HEIGHT - BOTTOM, TOP, pad=0.06)


def _numbers(x: Axis, log: bool) -> list[str]:
    """Numbers below; of powers all tens, or 1, 2 and 5 of each where these are few."""
    if not log:
        places = [(value, tick(value)) for value in ticks(x.low, x.high, 4)]
    else:
        of_each = (1, 2, 5) if x.high - x.low < 2.5 else (1,)
        powers = range(math.floor(x.low), math.ceil(x.high) + 1)
        values = [m * 10.0**p for p in powers for m in of_each]
        places = [(math.log10(v), f"{v:g}") for v in values if x.low <= math.log10(v) <= x.high]
    return [_below(x(place), text) for place, text in places]


def _names(x: Axis, names: Sequence[str]) -> list[str]:
    shown = (n if len(n) <= _LONGEST else n[: _LONGEST - 1] + "…" for n in names)
    return [_below(x(number), name) for number, name in enumerate(shown)]


def _below(at: float, text: str) -> str:
    return f'<text x="{at:.1f}" y="{HEIGHT - 7}" class="mid">{escape(text)}</text>'


def _stairs(steps: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    spots: list[tuple[float, float]] = []
    for a, b in steps:
        if spots:
            spots.append((x(a), spots[-1][1]))
        spots.append((x(a), y(b)))
    drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in spots)
    return f'<polyline class="line c1" points="{drawn}"/>'


def _svg(title: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
