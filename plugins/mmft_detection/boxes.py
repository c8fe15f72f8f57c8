"""Boxes as data sets know them, and what is wrong with some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge in pixels of the upright picture, whose corner is (0, 0)."""

Object: TypeAlias = Mapping[str, Any]
"""{"label": class name, "box": [left, top, right, bottom]}; also {"crowd": True} for a region of
many objects, which is neither learned nor counted as missed."""

ROUNDING = 1.0
"""Pixels that a box may reach beyond the picture, as in files with rounded numbers; it is cut off
at the edge."""


def fault_of(box: Sequence[float], width: int, height: int) -> str | None:
    """What makes a box unusable, in words that follow "its box ..."; None for nothing."""
    left, top, right, bottom = box
    where = f"[{left:g}, {top:g}, {right:g}, {bottom:g}]"
    if not all(abs(edge) < float("inf") for edge in box):  # NaN is not less, either.
        return f"{where} holds what is not a number"
    if right < left or bottom < top:
        return f"{where} is inverted: its right or bottom edge comes before the left or top one"
    if right == left or bottom == top:
        return f"{where} is empty: it has no width or no height"
    beyond = max(-left, -top, right - width, bottom - height)
    if beyond > ROUNDING or left >= width or top >= height or right <= 0 or bottom <= 0:
        return f"{where} reaches outside the picture of {width} x {height} pixels"
    return None


def inside(box: Sequence[float], width: int, height: int) -> list[float]:
    """A sound box, cut off at the picture's edges."""
    left, top, right, bottom = box
    return [max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)]
