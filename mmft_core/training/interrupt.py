"""Ctrl-C and SIGTERM as a request to end cleanly."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self

from mmft_core.distributed import processes


class StopRequest:
    """Notes the first SIGINT or SIGTERM; a second SIGINT raises KeyboardInterrupt at once.

    Not so where several processes train together: each is told twice, by the terminal and by what
    started it, which also ends those that take too long.

    Used as a context manager. Outside the main thread, where Python allows no signal handlers, it
    never notes anything.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT and processes.count() == 1:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
