"""A page that compares runs: their curves over each other, figures and settings side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmft_core.engine import read_metrics
from mmft_core.run import RunDirectory
from mmft_core.utils import numbers, write_text
from mmft_report import svg, wording
from mmft_report.curves import OTHERS, points, smoothed
from mmft_report.page import policy
from mmft_report.runs.differences import figures_of, headline, settings_of, shown
from mmft_report.runs.finding import Run
from mmft_report.svg import COLOURS, Chart, Line
from mmft_report.templating import asset, render


def write_page(file: Path, runs: Sequence[Run]) -> None:
    """Write the page.

    Raises:
        StorageError: it cannot be written.
    """
    script = asset("report.js")
    html = render(
        "mmft_report/runs.html.j2",
        script=script,
        policy=policy(script),
        rows=[_row(run, number, file) for number, run in enumerate(runs)],
        charts=_charts(runs),
        figures=[
            (split, name, [numbers.readable(value) for value in values])
            for (split, name), values in figures_of(runs).items()
        ],
        settings=[
            (key, [shown(value) for value in values]) for key, values in settings_of(runs).items()
        ],
    )
    write_text(file, wording.encodable(html))


def _row(run: Run, number: int, file: Path) -> dict[str, Any]:
    report = run.path / "report.html"
    return {
        "run": run,
        "style": _style(number),
        "link": Path(os.path.relpath(report, file.parent)).as_posix() if report.exists() else "",
        "parts": " · ".join([run.task, " + ".join(run.backbones), run.dataset]),
        "monitor": run.monitor,
        "figures": [headline(run, split) or "–" for split in ("val", "test")],
        "took": wording.duration(run.seconds),
    }


def _style(number: int) -> str:
    """Colours are used again, dashed the second time and dotted from the third."""
    return f"c{number % COLOURS}" + (f" d{min(2, number // COLOURS)}" if number >= COLOURS else "")


def _charts(runs: Sequence[Run]) -> list[Chart]:
    """Loss and learning rate in training, and every figure on val."""
    histories = [dict(_histories(run)) for run in runs]
    names = dict.fromkeys(
        name
        for history in histories
        for records in history.values()
        for record in records
        if record.get("split") == "val"
        for name in record
        if name not in OTHERS
    )
    charts = [
        _chart("Loss in training", histories, "loss", None),
        _chart("Loss on val", histories, "loss", "val"),
        *(_chart(f"{wording.title(n)} on val", histories, n, "val") for n in names),
        _chart("Learning rate", histories, "lr", None),
    ]
    return [chart for chart in charts if chart is not None]


def _histories(run: Run) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The lines of `metrics.jsonl` of a run, or of each fold."""
    folders = sorted(run.path.glob("fold-*")) if run.kind == "folds" else [run.path]
    for folder in folders:
        file = RunDirectory(folder).metrics
        label = run.name if folder == run.path else f"{run.name}/{folder.name}"
        yield label, read_metrics(file) if file.is_file() else []


def _chart(
    title: str,
    histories: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]],
    name: str,
    split: str | None,
) -> Chart | None:
    lines = []
    for number, history in enumerate(histories):
        for label, records in history.items():
            course = points([r for r in records if r.get("split") == split], name)
            lines.append(
                Line(
                    label=label,
                    points=smoothed(course) if (name, split) == ("loss", None) else course,
                    style="marked" if split else "line",
                    colour=number % COLOURS,
                    dash=min(2, number // COLOURS),
                )
            )
    return svg.draw(title, lines)
