"""A callback of transformers' Trainer that tells when training starts and each step ends."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):  # type: ignore[misc]
    """Its marks, in seconds: the start, and the end of each step.

    Attributes:
        waited: seconds between steps, in which batches are loaded.
    """

    def __init__(self) -> None:
        self.marks: list[float] = []
        self.waited: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.perf_counter())

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.waited.append(time.perf_counter() - self.marks[-1])

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """From the start to the end of the last step."""
        return self.marks[-1] - self.marks[0]
