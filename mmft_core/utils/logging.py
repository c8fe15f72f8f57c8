"""Keeping other libraries quiet."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quieted(*loggers: str, level: int = logging.ERROR) -> Iterator[None]:
    """Context in which these loggers ("" for the root) emit nothing below a level."""
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    for logger in found:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(found, levels, strict=True):
            logger.setLevel(before)
