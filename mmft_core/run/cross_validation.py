"""Cross-validation: a run for each fold, and the averages of their metrics.

OUTPUT/config.toml      the settings; running with them repeats everything
OUTPUT/fold-1 …         an ordinary run directory for each fold
OUTPUT/folds.json       the metrics of all folds, with mean and standard deviation
OUTPUT/report.html      the same as a page, written by the callback `report`
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from mmft_core.config.plan import Plan
from mmft_core.contracts.callbacks import Callback, FinishedFolds
from mmft_core.distributed import comm
from mmft_core.engine.monitor import choose_monitor
from mmft_core.errors import MmftError
from mmft_core.registry import Registry
from mmft_core.run.build import build_dataset
from mmft_core.run.callbacks import Callbacks
from mmft_core.run.directory import RunDirectory
from mmft_core.run.own_data import check_same
from mmft_core.run.runner import run_or_resume
from mmft_core.utils.files import read_record, storage_errors, write_json
from mmft_core.utils.numbers import is_finite

FORMAT = 1

MakeCallbacks: TypeAlias = Callable[[str], Sequence[Callback]]
"""Makes the callbacks of a run beside those of the plan, given a heading for it."""


class FoldsDirectory:
    """Paths of a cross-validation's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.record = path / "config.toml", path / "folds.json"

    def fold(self, number: int) -> Path:
        return self.path / f"fold-{number}"

    def finished(self) -> bool:
        return self.record.is_file() and bool(self.read().get("finished"))

    def read(self) -> dict[str, Any]:
        """Read `folds.json`.

        Raises:
            RunDirectoryError: it is missing or damaged.
        """
        return read_record(self.record)


def cross_validate(
    plan: Plan,
    output: Path,
    registry: Registry,
    make_callbacks: MakeCallbacks = lambda heading: (),
    command: str = "",
    *,
    resume: bool = False,
) -> dict[str, Any] | None:
    """Train once for each fold of the plan, from the same start.

    Args:
        plan: a plan with folds, none of which is chosen.
        resume: continue in the folder. Finished folds stay unchanged.

    Returns:
        The content of `folds.json`; None if it was interrupted and can be resumed.

    Raises:
        MmftError: see the tree in `mmft_core.errors`.
    """
    assert plan.folds is not None
    directory = FoldsDirectory(output)
    if not resume:
        RunDirectory(output).ensure_usable()
    with Callbacks(plan, output) as callbacks:
        choose_monitor(plan)
        dataset = build_dataset(plan)  # Reports too few samples for the folds first.
        for fold in plan.folds.each() if resume else ():
            check_same(RunDirectory(directory.fold(fold.chosen or 0)), plan, dataset)
        results = _run_folds(plan, directory, registry, make_callbacks, command)
        if len(results) < plan.folds.count:
            return None
        record = collect_folds(plan, results, command)
        callbacks.on_folds_finish(
            FinishedFolds(directory=output, record=record, results=results, plan=plan)
        )
        if comm.is_main():
            write_json(directory.record, record)
        callbacks.finished()
    return record


def _run_folds(
    plan: Plan,
    directory: FoldsDirectory,
    registry: Registry,
    make_callbacks: MakeCallbacks,
    command: str,
) -> list[dict[str, Any]]:
    """The results of every fold; fewer if it was interrupted."""
    assert plan.folds is not None
    results: list[dict[str, Any]] = []
    with _begun(directory, plan):
        for folds in plan.folds.each():
            number = folds.chosen or 0
            own = make_callbacks(f"Fold {number} of {folds.count}")
            found = run_or_resume(
                replace(plan, folds=folds), directory.fold(number), registry, own, command
            )
            if found is None:
                break
            results.append(found)
            # The last record is written when callbacks have written their reports.
            if folds.count > number and comm.is_main():
                write_json(directory.record, collect_folds(plan, results, command))
    return results


@contextlib.contextmanager
def _begun(directory: FoldsDirectory, plan: Plan) -> Iterator[None]:
    """Write what is needed to resume, and remove it if the first fold cannot be started."""
    if not comm.is_main():
        yield
        return
    new = not directory.path.exists()
    with storage_errors(directory.path):
        directory.path.mkdir(parents=True, exist_ok=True)
    RunDirectory(directory.path).write_config(plan)
    try:
        yield
    except MmftError:
        if [file.name for file in directory.path.iterdir()] == [directory.config.name]:
            directory.config.unlink()
            if new:
                directory.path.rmdir()
        raise


def collect_folds(
    plan: Plan, results: Sequence[Mapping[str, Any]], command: str = ""
) -> dict[str, Any]:
    """Combine the results of the finished folds into one record.

    "std" is the sample standard deviation of the folds' metrics (with n - 1), so it is null for a
    single fold. A metric that is undefined in a fold is null there, and excluded from "mean" and
    "std".
    """
    assert plan.folds is not None
    first = results[0]
    splits = dict.fromkeys(split for result in results for split in result["metrics"])
    return {
        "format": FORMAT,
        "task": first["task"],
        "backbones": [part["name"] for part in first["backbones"].values()],
        "dataset": first["dataset"]["name"],
        "folds": plan.folds.count,
        "finished": len(results) == plan.folds.count,
        "monitor": first["monitor"]["name"],
        "figures": {split: _figures(results, split) for split in splits},
        "runs": [
            {
                "fold": number,
                "folder": f"fold-{number}",
                "samples": result["dataset"]["samples"],
                "steps": result["steps"],
                "ending": result["ending"],
                "total_seconds": result["timings"]["total_seconds"],
            }
            for number, result in enumerate(results, start=1)
        ],
        "command": command,
    }


def _figures(results: Sequence[Mapping[str, Any]], split: str) -> dict[str, dict[str, Any]]:
    """The scalar metrics of a split, over the folds in which they are defined."""
    of_folds = [result["metrics"].get(split, {}) for result in results]
    found = {}
    for name in dict.fromkeys(name for values in of_folds for name in values):
        values = [values.get(name) for values in of_folds]
        if any(isinstance(value, list) for value in values):
            continue
        defined = [value for value in values if is_finite(value)]
        found[name] = {
            "mean": statistics.fmean(defined) if defined else None,
            "std": statistics.stdev(defined) if len(defined) > 1 else None,
            "folds": [value if is_finite(value) else None for value in values],
        }
    return found
