"""What trackers share: one run, followed by what `metrics.jsonl` holds of it."""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmft_core.contracts import Callback, Ending, Record, RunStart, TrainStart
from mmft_core.utils import write_json
from mmft_trackers.identity import Identity

_DOCUMENTS = ("report.html", "README.md", "results.json")
"""What of a finished run is handed to a tracker, as far as it is there."""


class Tracker(Callback):
    """One run in one tool.

    Attributes:
        name: of the tool.
        identity: of the run.
    """

    name: ClassVar[str]
    identity: Identity

    def __init__(self, options: Any) -> None:
        self.options = options
        self._run: RunStart | None = None
        self._known: Mapping[str, int] | None = None

    @abstractmethod
    def begin(
        self, settings: Mapping[str, Any], earlier: str | None, logged: Sequence[Record]
    ) -> str:
        """Begin the run, or resume it.

        Args:
            settings: by dotted key.
            earlier: what an earlier call of `begin` returned, for a run that resumes.
            logged: all that the tracker has been told of it then.

        Returns:
            The tool's own name of the run.
        """

    @abstractmethod
    def known(self) -> Mapping[str, int]:
        """The last step of every scalar that the tool has already."""

    @abstractmethod
    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Take in scalars, by names such as "train/loss" and "val/f1/macro"."""

    def flush(self) -> None:
        """Hand on what is kept back, after each evaluation."""

    @abstractmethod
    def end(self, ending: Ending, files: Sequence[Path]) -> None:
        """End the run.

        Args:
            files: report, model card and results, if it is finished.
        """

    def on_run_start(self, run: RunStart) -> None:
        self._run, self.identity = run, Identity.of(run.directory)

    def on_train_start(self, event: TrainStart) -> None:
        """Begin the run, or resume it, and log what the tool lacks."""
        assert self._run is not None
        file = self.identity.path / "tracking.json"  # What the tools call the run.
        ids = _read(file)
        logged = self._run.logged
        ids[self.name] = self.begin(self._run.settings, ids.get(self.name), logged)
        write_json(file, ids)
        self._known = self.known()
        for record in logged:
            if record["step"] <= event.step:
                self.on_log(record)

    def on_log(self, record: Record) -> None:
        """Log what a line holds, but for what the tool has already."""
        assert self._known is not None
        known, step = self._known, record["step"]
        new = {k: v for k, v in scalars_of(record).items() if step > known.get(k, -1)}
        if new:
            self.log(new, step)
        if "split" in record:
            self.flush()

    def on_end(self, ending: Ending) -> None:
        if self._known is None:  # Training has not even begun.
            return
        documents = [self.identity.path / name for name in _DOCUMENTS]
        files = [file for file in documents if file.is_file()]
        self.end(ending, files if ending == "finished" else [])


def scalars_of(record: Record) -> dict[str, float]:
    """The defined scalars of a line of `metrics.jsonl`, by the names that trackers know them by.

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
    """The last step of every scalar."""
    steps: dict[str, int] = {}
    for record in records:
        for name in scalars_of(record):
            steps[name] = max(steps.get(name, 0), record["step"])
    return steps


def _read(file: Path) -> dict[str, str]:
    try:
        ids = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return ids if isinstance(ids, dict) else {}
