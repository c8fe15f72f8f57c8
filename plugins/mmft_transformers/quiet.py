"""Keeping transformers quiet."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' progress bars, and without its remarks about what we do on purpose."""
    # Levels of handlers, for that of a logger takes milliseconds to set: Python then forgets which
    # loggers are on.
    levels = {own: own.level for own in transformers_logging.get_logger().handlers}
    bars = transformers_logging.is_progress_bar_enabled()
    for handler in levels:
        handler.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for handler, level in levels.items():
            handler.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()
