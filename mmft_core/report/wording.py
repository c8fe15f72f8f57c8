"""Numbers and commands as a reader likes them."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any, TypeGuard


def is_figure(value: Any) -> TypeGuard[float]:
    """Whether a value is a single number, finite or not."""
    return isinstance(value, float | int) and not isinstance(value, bool)


def is_finite(value: Any) -> TypeGuard[float]:
    return is_figure(value) and math.isfinite(value)


def figure(value: Any) -> str:
    """A figure of merit: four decimals where that says enough."""
    if not is_figure(value):
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


def count(value: Any) -> str:
    """A number of things."""
    return f"{value:,.0f}" if is_finite(value) else "–"


def counted(value: int, noun: str) -> str:
    """1 sample, 2 samples."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def parameters(value: Any) -> str:
    """A number of parameters: 23.5 M."""
    if not is_finite(value):
        return "–"
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"


def duration(seconds: Any) -> str:
    """A time: 3.2 s, 4 min 05 s, 2 h 10 min."""
    if not is_finite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def setting(value: Any) -> str:
    """A setting's value in few digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def sizes(samples: Any) -> str:
    """How many samples each split has: 1,257 train · 270 val."""
    return " · ".join(f"{count(size)} {name}" for name, size in (samples or {}).items())


def title(name: str) -> str:
    """A name as a heading; `str.capitalize` would make "ROC" "Roc"."""
    return name[:1].upper() + name[1:]


def encodable(text: str) -> str:
    """Text without what UTF-8 cannot hold: file names that are not UTF-8 have such characters."""
    return text.encode("utf-8", "replace").decode("utf-8")


def inputs_of(modalities: Sized) -> str:
    """What `mmft predict` is given: files, or samples of several modalities."""
    return "FILES..." if len(modalities) < 2 else "--dataset TABLE"
