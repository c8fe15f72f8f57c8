"""Runs side by side: their figures, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmft_core.config import flatten
from mmft_core.utils import numbers
from mmft_report.runs.finding import Run

_PASSED_OVER = ("callbacks", "callback.", "tracking.")
"""Settings that do not affect the outcome of a run."""


def figures_of(runs: Sequence[Run]) -> dict[tuple[str, str], list[float | None]]:
    """Every single figure by split and name, with each run's value; None where it has none."""
    names = dict.fromkeys(
        (split, name) for run in runs for split, values in run.figures.items() for name in values
    )
    order = {"test": 0, "val": 1}
    return {
        (split, name): [run.figures.get(split, {}).get(name) for run in runs]
        for split, name in sorted(names, key=lambda key: order.get(key[0], 2))
    }


def headline(run: Run, split: str) -> str:
    """The monitored metric of a split, with its spread over the folds where there are some."""
    value = run.figures.get(split, {}).get(run.monitor)
    if value is None:
        return ""
    spread = run.spreads.get(split, {}).get(run.monitor)
    return numbers.readable(value) + ("" if spread is None else f" ± {numbers.readable(spread)}")


def settings_of(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The settings that are not the same for all, with each run's; None where it has none.

    What came of settings counts as well: where the weights came from, the device.
    """
    flat = [_told(run) for run in runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    rows = {key: [settings.get(key) for settings in flat] for key in keys}
    return {
        key: values
        for key, values in rows.items()
        if any(value != values[0] for value in values) and not key.startswith(_PASSED_OVER)
    }


def shown(value: Any) -> str:
    """A setting's value as text for a reader."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and value:
        return ", ".join(map(shown, value))
    return str(value)


def _told(run: Run) -> dict[str, Any]:
    environment: Mapping[str, Any] = run.results.get("environment", {})
    found = {key: environment[key] for key in ("device", "precision") if key in environment}
    found |= {f"{name} version": v for name, v in environment.get("versions", {}).items()}
    for modality, part in run.results.get("backbones", {}).items():
        found[f"weights of {modality} came from"] = part["weights"]["source"]
    for split, count in run.results.get("dataset", {}).get("samples", {}).items():
        found[f"samples of {split}"] = count
    return flatten(run.config) | found
