"""`report.html` of a sweep: the best trials, how they were found, and what mattered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from markupsafe import Markup

from mmft_core.config import flatten
from mmft_core.utils import numbers, write_text
from mmft_report import wording
from mmft_report.facts import settings
from mmft_report.page import folder as shown_folder
from mmft_report.page import policy
from mmft_report.scatter import Dot, scatter, strands
from mmft_report.templating import asset, render
from mmft_sweep.folder import SweepFolder
from mmft_sweep.record import ranked
from mmft_sweep.space import Choice, Dimension, space_of

_SHOWN = 100
"""Trials in the table."""


def write_page(folder: SweepFolder, record: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        record: what `trials.json` holds.

    Raises:
        StorageError: it cannot be written.
    """
    script = asset("report.js")
    best = ranked(record)
    html = render(
        "mmft_sweep/sweep.html.j2",
        script=script,
        policy=policy(script),
        title=_title(record),
        record=record,
        best=best,
        rows=[_row(trial, record) for trial in best[:_SHOWN]],
        tiles=_tiles(record),
        importance=sorted((record["importance"] or {}).items(), key=lambda i: -i[1]),
        charts=[chart for chart in (_history(record), _courses(record)) if chart[1] is not None],
        slices=[
            (d.key, chart)
            for d in space_of(record["vary"]).dimensions
            if (chart := _slice(record, d)) is not None
        ],
        failed=[trial for trial in record["trials"] if trial["state"] == "failed"],
        settings=settings(record["base"]),
        folder=shown_folder(folder.path),
        figure=numbers.readable,
        setting=wording.setting,
    )
    write_text(folder.page, wording.encodable(html))


def _title(record: Mapping[str, Any]) -> str:
    """Task, backbones and data, as far as they are the same for all trials."""
    known = flatten(record["base"])
    backbones = [v for k, v in known.items() if k.startswith("backbone.") and k.endswith(".name")]
    data = known.get("dataset.name", known.get("dataset.path"))
    parts = (known.get("task.name", known.get("task")), " + ".join(backbones), data)
    return " · ".join(str(part) for part in parts if part)


def _tiles(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    states = Counter(trial["state"] for trial in record["trials"])
    seconds = sum(trial["seconds"] or 0.0 for trial in record["trials"])
    words = {
        "complete": "complete",
        "pruned": "stopped early",
        "failed": "failed",
        "running": "running",
    }
    rows = [(word, wording.count(states[state])) for state, word in words.items() if states[state]]
    return [*rows, ("time of all trials", wording.duration(seconds))]


def _row(
    trial: Mapping[str, Any], record: Mapping[str, Any]
) -> tuple[Mapping[str, Any], list[str]]:
    cells = [wording.setting(trial["params"].get(key)) for key in record["vary"]]
    return trial, [*cells, wording.duration(trial["seconds"])]


def _told(trial: Mapping[str, Any], value: float) -> str:
    params = ", ".join(f"{key} {wording.setting(v)}" for key, v in trial["params"].items())
    return f"trial {trial['number']}: {numbers.readable(value)} with {params}"


def _dot(x: float | str, trial: Mapping[str, Any], value: float, record: Mapping[str, Any]) -> Dot:
    style: Literal["", "faint", "kept"] = "faint" if trial["state"] == "pruned" else ""
    if trial["number"] == record["best"]:
        style = "kept"
    return Dot(x=x, y=value, title=_told(trial, value), style=style)


def _history(record: Mapping[str, Any]) -> tuple[str, Markup | None]:
    """Every trial's value, and the best so far. Trials that were stopped early are shown faintly
    where they ended."""
    better = max if record["direction"] == "maximize" else min
    dots: list[Dot] = []
    steps: list[tuple[float, float]] = []
    for trial in record["trials"]:
        last = next(reversed(trial["validations"].values()), None)
        value = trial["value"] if trial["state"] == "complete" else last
        if value is None or trial["state"] not in ("complete", "pruned"):
            continue
        if trial["state"] == "complete":
            steps.append((trial["number"], better(value, steps[-1][1]) if steps else value))
        dots.append(_dot(trial["number"], trial, value, record))
    title = f"{wording.title(record['monitor'])} by trial"
    return title, scatter(title, dots, steps=steps)


def _courses(record: Mapping[str, Any]) -> tuple[str, Markup | None]:
    """Every trial's figure at its validations."""
    lines = []
    for trial in record["trials"]:
        points = [(float(number), value) for number, value in trial["validations"].items()]
        if points:
            chosen = trial["number"] == record["best"]
            lines.append((points, _told(trial, points[-1][1]), chosen))
    title = f"{wording.title(record['monitor'])} by validation"
    return title, strands(title, lines)


def _slice(record: Mapping[str, Any], dimension: Dimension) -> Markup | None:
    """The value of every trial against one setting."""
    named = isinstance(dimension, Choice)
    dots = []
    for trial in ranked(record):
        at = trial["params"][dimension.key]
        dots.append(_dot(str(at) if named else at, trial, trial["value"], record))
    if isinstance(dimension, Choice):
        return scatter(dimension.key, dots, names=[str(value) for value in dimension.values])
    return scatter(dimension.key, dots, log=dimension.log)
