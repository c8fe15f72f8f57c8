"""Every run below a folder, whatever state it is in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from mmft_core.config import Tree, read_places
from mmft_core.engine import read_metrics
from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_core.run import RunDirectory, is_model
from mmft_core.utils import is_finite, read_record

State = Literal["finished", "running", "interrupted", "stopped", "failed", "damaged"]
Kind = Literal["run", "folds"]

_INSIDE = {"model", "checkpoints", "tensorboard", "mlflow", "wandb", "locks", "workers"}
"""Folders that hold no runs."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a folder says about its run.

    Attributes:
        name: the folder, relative to the one that was searched.
        kind: "folds" is a cross-validation, whose figures are means.
        reason: why it failed, or what is damaged.
        monitor: the figure that chose the model.
        figures: single figures by split, of the kept model; of an unfinished run those of its best
            validation so far.
        spreads: standard deviations of a cross-validation's figures.
        seconds: that it took, as far as that is known.
        size: of its files, in bytes.
        changed: when it was started or finished, in seconds since 1970.
        results: what `results.json` holds; of a cross-validation that of its first fold.
    """

    path: Path
    name: str
    kind: Kind = "run"
    state: State
    reason: str = ""
    task: str = ""
    backbones: tuple[str, ...] = ()
    dataset: str = ""
    monitor: str = ""
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    spreads: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    seconds: float | None = None
    size: int = 0
    changed: float = 0.0
    config: Tree = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)


def find_runs(folder: Path) -> list[Run]:
    """All runs below a folder, or the one in it, including folds and trials.

    Raises:
        RunDirectoryError: there is no such folder.
    """
    if not folder.is_dir():
        raise RunDirectoryError(
            f"There is no folder {folder}.",
            hint="Give the folder that holds your runs; `mmft run` writes to runs/.",
        )
    return [read_run(path, _name(path, folder)) for path in _places(folder)]


def read_run(path: Path, name: str) -> Run:
    """What a run's folder tells; one that cannot be read is "damaged"."""
    size, changed = _measured(path)
    try:
        return _read(path, name, size, changed)
    except (ConfigError, RunDirectoryError) as error:
        reason = error.message
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"It does not hold what was expected: {type(error).__name__}: {error}"
    return Run(path=path, name=name, state="damaged", reason=reason, size=size, changed=changed)


def _name(path: Path, folder: Path) -> str:
    return path.name if path == folder else path.relative_to(folder).as_posix()


def _places(folder: Path) -> Iterator[Path]:
    """The folders that hold a run, by name; below a sweep or a cross-validation others may be."""
    if is_model(folder):
        return
    files = RunDirectory(folder)
    marks = (files.config, files.results, files.data, folder / "folds.json")
    if any(mark.is_file() for mark in marks):
        yield folder
        if files.data.is_file():  # An ordinary run, which holds no others.
            return
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    for name in names:
        if name not in _INSIDE and not name.startswith("."):
            yield from _places(folder / name)


def _measured(path: Path) -> tuple[int, float]:
    """Bytes of all files below, and the last time that one of the first level was changed."""
    size, changed, waiting = 0, 0.0, [str(path)]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                continue
            found = entry.stat(follow_symlinks=False)
            size += found.st_size
            if place == str(path):
                changed = max(changed, found.st_mtime)
    return size, changed


def _read(path: Path, name: str, size: int, changed: float) -> Run:
    files = RunDirectory(path)
    config = read_places(files.config)
    told = _folds(path, config) if "folds" in config and "fold" not in config else _single(files)
    return Run(
        path=path,
        name=name,
        task=_last(config["task"]["name"]),
        backbones=tuple(_last(part["name"]) for part in config["backbone"].values()),
        size=size,
        changed=changed,
        config=config,
        **({"dataset": _dataset(config["dataset"]), "monitor": _monitor(config)} | told),
    )


def _single(files: RunDirectory) -> dict[str, Any]:
    """State and figures of an ordinary run."""
    if files.results.is_file():
        results = files.read_results()
        return {
            "state": "finished",
            "dataset": results["dataset"]["name"],
            "monitor": results["monitor"]["name"],
            "figures": {split: _plain(values) for split, values in results["metrics"].items()},
            "seconds": float(results["timings"]["total_seconds"]),
            "results": results,
        }
    history = read_metrics(files.metrics) if files.metrics.is_file() else []
    validations = [record for record in history if record.get("split") == "val"]
    best = [record for record in validations if record.get("best")] or validations
    values = _plain(best[-1]) if best else {}
    figures = {name: value for name, value in values.items() if name not in ("step", "epoch")}
    seconds = next((r["seconds"] for r in reversed(history) if r.get("seconds")), None)
    state, reason = _unfinished(files)
    told: dict[str, Any] = {"figures": {"val": figures} if figures else {}}
    if files.data.is_file() and (monitor := read_record(files.data).get("monitor")):
        told["monitor"] = str(monitor)  # Runs of earlier versions have it only if it was set.
    return {"state": state, "reason": reason, "seconds": seconds, **told}


def _unfinished(files: RunDirectory) -> tuple[State, str]:
    if files.lock.is_file():
        try:
            FileLock(files.lock).acquire(timeout=0).lock.release()
        except Timeout:
            return "running", ""
        except OSError:  # Nothing is trained where nothing can be written.
            pass
    if not files.failure.is_file():
        return "interrupted", ""
    told = json.loads(files.failure.read_text(encoding="utf-8"))
    return ("stopped" if told["state"] == "stopped" else "failed"), str(told["reason"])


def _folds(path: Path, config: Tree) -> dict[str, Any]:
    """State and mean figures of a cross-validation."""
    file, first = path / "folds.json", RunDirectory(path / "fold-1")
    if not file.is_file():
        return {"kind": "folds", "state": "interrupted"}
    record = json.loads(file.read_text(encoding="utf-8"))
    of = {split: values.items() for split, values in record["figures"].items()}
    return {
        "kind": "folds",
        "state": "finished" if record["finished"] else "interrupted",
        "dataset": record["dataset"],
        "monitor": record["monitor"],
        "figures": {split: _plain({k: v["mean"] for k, v in of[split]}) for split in of},
        "spreads": {split: {k: v["std"] for k, v in items} for split, items in of.items()},
        "seconds": sum(run["total_seconds"] for run in record["runs"]),
        "results": first.read_results() if first.results.is_file() else {},
    }


def _plain(values: Mapping[str, Any]) -> dict[str, float]:
    """The single figures that are defined."""
    return {name: value for name, value in values.items() if is_finite(value)}


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _dataset(table: Mapping[str, Any]) -> str:
    path = table.get("path")
    return Path(path).name if isinstance(path, str) and path != "none" else _last(table["name"])


def _monitor(config: Tree) -> str:
    name = config["engine"].get("monitor", "none")
    return "" if name == "none" else str(name)
