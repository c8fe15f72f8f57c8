"""Trackers follow `metrics.jsonl`; what goes wrong with one is said once, and training goes on."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmft_core.errors import StopTrainingError, first_line
from mmft_core.extras import missing_error, require_extra
from mmft_core.files import write_json
from mmft_core.trackers.identity import Identity
from mmft_core.trackers.options import TrackingConfig
from mmft_core.trackers.tracker import Ending, Record, Tracker, figures_of

_TRACKERS = {
    "tensorboard": "mmft_core.trackers.tensorboard:TensorboardTracker",
    "mlflow": "mmft_core.trackers.mlflow:MlflowTracker",
    "wandb": "mmft_core.trackers.wandb:WandbTracker",
}


def check(config: TrackingConfig, output: Path) -> None:
    """Check that every tracker can be told of a run, before anything else is done.

    Args:
        output: the folder of the run, the cross-validation or the sweep.

    Raises:
        MissingExtraError: its package is not installed.
        ConfigError: it cannot be reached with these settings.
    """
    for name in config.to:
        what = f"Tracking by {name}"
        require_extra(what, name)
        try:
            tracker = _tracker_type(name)
        except ModuleNotFoundError:  # The installation knows of no such extra.
            raise missing_error(what, [name], "mmft") from None
        tracker.check(config, Identity.of(output).store)


class Tracking:
    """The trackers of one run, as a context from its beginning to its end."""

    def __init__(
        self,
        config: TrackingConfig,
        run: Path,
        settings: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        """Args:
        settings: of the run, by dotted key.
        say: told of a tracker that fails.
        """
        self.config, self.settings, self.say = config, settings, say
        self.identity = Identity.of(run)
        self.ending: Ending = "interrupted"
        self.files: Sequence[Path] = ()
        self._trackers: list[Tracker] = []
        self._known: dict[str, Mapping[str, int]] = {}

    @property
    def _ids(self) -> Path:
        """By which the tools know the run: what lets a training that goes on find it there."""
        return self.identity.path / "tracking.json"

    def begin(self, kept: Sequence[Record], told: Sequence[Record]) -> None:
        """Begin the run in every tracker, or go on with it, and tell what one lacks.

        Args:
            kept: the lines of `metrics.jsonl` up to the step at which training goes on.
            told: all that there were.
        """
        ids = self._read_ids()
        for name in dict.fromkeys(self.config.to):
            with self._guarded(name):
                tracker = _tracker_type(name)(self.identity, self.config)
                ids[name] = tracker.begin(self.settings, ids.get(name), told)
                self._trackers.append(tracker)
                self._known[name] = tracker.known()
                write_json(self._ids, ids)
        for record in kept:
            self.record(record)

    def record(self, record: Record) -> None:
        """Tell every tracker what a line holds, but for what it has already."""
        figures, step = figures_of(record), record["step"]
        for tracker in tuple(self._trackers):
            known = self._known[tracker.name]
            new = {name: value for name, value in figures.items() if step > known.get(name, -1)}
            with self._guarded(tracker.name):
                if new:
                    tracker.log(new, step)
                if "split" in record:
                    tracker.flush()

    def finished(self, files: Sequence[Path]) -> None:
        """The run is finished and has left these files."""
        self.ending, self.files = "finished", files

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        ending = self.ending
        if isinstance(error, Exception):
            ending = "stopped" if isinstance(error, StopTrainingError) else "failed"
        for tracker in tuple(self._trackers):
            with self._guarded(tracker.name):
                tracker.end(ending, self.files)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._trackers = [t for t in self._trackers if t.name != name]
            self.say(f"{name} is told no more of this run: {first_line(error)}.")

    def _read_ids(self) -> dict[str, str]:
        try:
            ids = json.loads(self._ids.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return ids if isinstance(ids, dict) else {}


def _tracker_type(name: str) -> type[Tracker]:
    module, _, attribute = _TRACKERS[name].partition(":")
    found: type[Tracker] = getattr(importlib.import_module(module), attribute)
    return found
