"""Remarks on samples that are odd but usable.

Code that reads a sample calls `remark`; code that checks samples collects them with `collecting`.
Otherwise, as in training, they are dropped, because the check before it has shown them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_COLLECTED: ContextVar[list[str] | None] = ContextVar("collected", default=None)
_TRANSLATING: ContextVar[bool] = ContextVar("translating", default=False)


def remark(text: str) -> None:
    """Say what is odd about the sample that is being read.

    Args:
        text: what it has: "several pages, of which only the first is read".
    """
    collected = _COLLECTED.get()
    if collected is not None and text not in collected:
        collected.append(text)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect the remarks that are made in this thread."""
    collected: list[str] = []
    token = _COLLECTED.set(collected)
    try:
        yield collected
    finally:
        _COLLECTED.reset(token)


@contextmanager
def warnings_as_remarks(package: str) -> Iterator[None]:
    """Make remarks of the warnings of a package, rather than lines on stderr without a file's name.

    Only warnings of this thread are meant, which `warnings.catch_warnings` cannot tell apart.
    """
    _intercept(package)
    token = _TRANSLATING.set(True)
    try:
        yield
    finally:
        _TRANSLATING.reset(token)


def _intercept(package: str) -> None:
    """Have `_show` called for every warning of the package, also for repeated ones."""
    global _show_others
    if warnings.showwarning is not _show:
        _show_others = warnings.showwarning
        warnings.showwarning = _show
    module = re.compile(rf"{re.escape(package)}\.")
    if ("always", None, Warning, module, 0) not in warnings.filters:
        warnings.filterwarnings("always", module=module.pattern)


_show_others = warnings.showwarning


def _show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    if _TRANSLATING.get():
        remark(f"a warning when it is read: {' '.join(str(message).split()).rstrip('.')}")
    else:
        _show_others(message, category, *place, **more)
