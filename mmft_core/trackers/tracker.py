"""The contract of a tracker: one run, as one tool is told of it."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from mmft_core.trackers.identity import Identity
from mmft_core.trackers.options import TrackingConfig

Record: TypeAlias = Mapping[str, Any]
"""A line of `metrics.jsonl`."""

Ending = Literal["finished", "interrupted", "stopped", "failed"]
"""How a run ended: "stopped" by a sweep's pruner, "interrupted" by the user."""


class Tracker(ABC):
    """One run in one tool. What its methods raise ends the tracking, and not the training."""

    name: ClassVar[str]
    """Of the tool, which is that of the extra, too."""

    def __init__(self, identity: Identity, config: TrackingConfig) -> None:
        self.identity, self.config = identity, config

    @classmethod
    @abstractmethod
    def check(cls, config: TrackingConfig, store: Path) -> None:
        """Find out what is wrong before anything else is done. Writes nothing.

        Args:
            store: the folder below which local stores are kept.

        Raises:
            ConfigError: the tool cannot be reached with these settings.
        """

    @abstractmethod
    def begin(
        self, settings: Mapping[str, Any], earlier: str | None, told: Sequence[Record]
    ) -> str:
        """Begin the run, or go on with it.

        Args:
            settings: by dotted key.
            earlier: what an earlier call of `begin` returned, for a run that goes on.
            told: all that the tracker has been told of it then.

        Returns:
            The tool's own name of the run.
        """

    @abstractmethod
    def known(self) -> Mapping[str, int]:
        """The last step of every figure that the tool has already."""

    @abstractmethod
    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Take in figures, by names such as "train/loss" and "val/f1/macro"."""

    def flush(self) -> None:  # noqa: B027
        """Hand on what is kept back, after each evaluation."""

    @abstractmethod
    def end(self, ending: Ending, files: Sequence[Path]) -> None:
        """End the run.

        Args:
            files: report, model card and results, if it is finished.
        """


def figures_of(record: Record) -> dict[str, float]:
    """The defined figures of a line of `metrics.jsonl`, by the names that trackers know them by.

    MLflow takes no others than such of letters, digits and `_-. :/`.
    """
    split = record.get("split", "train")
    passed_over = {"step", "split", "best", "samples", "seconds"}
    return {
        re.sub(r"[^\w\-. :/]", "_", f"{split}/{name}"): float(value)
        for name, value in record.items()
        if name not in passed_over
        and not (name == "epoch" and split != "train")
        and isinstance(value, int | float)
        and math.isfinite(value)
    }


def last_steps(records: Sequence[Record]) -> dict[str, int]:
    """The last step of every figure."""
    steps: dict[str, int] = {}
    for record in records:
        for name in figures_of(record):
            steps[name] = max(steps.get(name, 0), record["step"])
    return steps
