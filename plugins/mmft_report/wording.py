"""Counts, times, sizes and names as text for readers."""

from __future__ import annotations

from typing import Any

from mmft_core.utils import is_finite


def count(value: Any) -> str:
    """A number of things."""
    return f"{value:,.0f}" if is_finite(value) else "–"


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
