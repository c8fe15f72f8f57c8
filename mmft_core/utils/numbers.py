"""Formatting numbers for readers, and recognising them."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def is_numeric(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a single number, finite or not."""
    return isinstance(value, float | int) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[float]:
    return is_number(value) and math.isfinite(value)


def counted(value: int, noun: str) -> str:
    """A number of things: 1 sample, 2 samples."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def readable(value: Any) -> str:
    """A metric's value: four decimals where that says enough; "–" for what is not a number."""
    if not is_number(value):
        return "–"
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if isinstance(value, int) or abs(value) >= 1000:
        text = f"{value:,.0f}"
    elif value and abs(value) < 0.001:
        text = f"{value:.2e}"
    else:
        text = f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
    return text.replace("-", "−") if text.startswith("-") else text


def parameters(number: Any) -> str:
    """A number of parameters: 23.5 M, 1.5 B."""
    if not is_finite(number):
        return "–"
    for amount, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= amount:
            return f"{number / amount:.1f}{unit}"
    return f"{number:.0f}"


def size(amount: int) -> str:
    """A number of bytes: 0.4 MB, 950 MB, 2.4 GB."""
    if amount >= 1e9:
        return f"{amount / 1e9:,.1f} GB"
    return f"{amount / 1e6:,.{int(amount < 1e7)}f} MB"
