"""A callback of transformers' Trainer that tells when training starts and each step ends."""

from __future__ import annotations

import statistics
import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):  # type: ignore[misc]
    """Its marks, in seconds: the start, and the end of each step.

    Attributes:
        waited: seconds between steps, in which batches are loaded.
        losses: of the steps, where each is logged (`logging_steps=1`).
    """

    def __init__(self) -> None:
        self.marks: list[float] = []
        self.waited: list[float] = []
        self.losses: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.perf_counter())

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.waited.append(time.perf_counter() - self.marks[-1])

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.marks.append(time.perf_counter())

    def on_log(self, *_: Any, logs: dict[str, Any], **__: Any) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))

    @property
    def seconds(self) -> float:
        """From the start to the end of the last step."""
        return self.marks[-1] - self.marks[0]

    @property
    def loss(self) -> float:
        """The mean of all steps."""
        return statistics.fmean(self.losses)


def arguments(output: str, batch_size: int, **more: Any) -> dict[str, Any]:
    """What the arguments of every Trainer are here: an epoch without anything beside it."""
    import torch

    return {
        "output_dir": output,
        "per_device_train_batch_size": batch_size,
        "num_train_epochs": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "use_cpu": not torch.cuda.is_available(),  # Else it refuses bf16.
        **more,
    }
