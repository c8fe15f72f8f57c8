"""`trials.json`: the outcome of every trial; `best.toml`: the best one's settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial

from mmft_core.config import dump_toml, rewritten
from mmft_core.utils import counted, write_json, write_text
from mmft_sweep.folder import SweepFolder
from mmft_sweep.study import Study, state_of

FORMAT = 1


def collect_record(
    folder: SweepFolder, study: Study, base: Mapping[str, Any], *, importance: bool
) -> dict[str, Any]:
    """Put everything of interest into one JSON-ready record.

    Args:
        base: the settings that all trials share.
        importance: whether to work out the importance of settings, which takes a second.
    """
    best = study.best()
    return {
        "format": FORMAT,
        "monitor": study.monitor.name,
        "direction": "maximize" if study.monitor.higher_is_better else "minimize",
        "vary": study.space.texts(),
        "base": dict(base),
        "best": None if best is None else best.number,
        "importance": study.importance() if importance else None,
        "trials": [_trial(folder, trial) for trial in study.counted()],
    }


def write_record(
    folder: SweepFolder, study: Study, base: Mapping[str, Any], *, importance: bool = False
) -> dict[str, Any]:
    """Write both files, and return what `trials.json` holds.

    Raises:
        StorageError: they cannot be written.
    """
    record = collect_record(folder, study, base, importance=importance)
    write_json(folder.record, record)
    best = study.best()
    if best is not None:
        file = folder.trial(best.number) / "config.toml"
        heading = (
            f"# The best of {counted(len(record['trials']), 'trial')}, number {best.number}: "
            f"{study.monitor.name} {best.value:.6g} on val.\n\n"
        )
        write_text(folder.best, heading + dump_toml(rewritten(file, folder.path)))
    return record


def ranked(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The complete trials of a record, the best first."""
    complete = [t for t in record["trials"] if t["state"] == "complete"]
    sign = -1 if record["direction"] == "maximize" else 1
    return sorted(complete, key=lambda t: (sign * t["value"], t["number"]))


def _trial(folder: SweepFolder, trial: FrozenTrial) -> dict[str, Any]:
    state = state_of(trial)
    reason = trial.user_attrs.get("reason")
    if state == "failed" and reason is None:
        reason = "its process was killed"
    return {
        "number": trial.number,
        "state": state,
        "value": trial.value if state == "complete" else None,
        "params": dict(trial.params),
        "folder": folder.trial(trial.number).relative_to(folder.path).as_posix(),
        "seconds": _seconds(trial.datetime_start, trial.datetime_complete),
        "reason": reason,
        "validations": {str(n): v for n, v in sorted(trial.intermediate_values.items())},
    }


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return round((end - start).total_seconds(), 3)
