"""The page of a cross-validation: every figure of every fold, with mean and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmft_core.cli import folds_headline, inputs_of, plus_minus
from mmft_core.contracts import DatasetInfo, FinishedFolds
from mmft_core.engine import read_metrics
from mmft_core.utils import numbers, write_text
from mmft_report import svg, wording
from mmft_report.content import ReportContent
from mmft_report.curves import points
from mmft_report.facts import settings
from mmft_report.findings import banners
from mmft_report.page import folder, policy
from mmft_report.svg import Chart, Line
from mmft_report.templating import asset, render


@dataclass(frozen=True, kw_only=True)
class FoldsTable:
    """A row for each figure of a split, with mean ± spread and a cell for each fold."""

    split: str
    rows: list[tuple[str, str, list[str]]]


def write_folds_report(folds: FinishedFolds) -> None:
    """Write `report.html` above the folds.

    Raises:
        StorageError: it cannot be written.
    """
    output, record, results = folds.directory, folds.record, folds.results
    script = asset("report.js")
    title = " · ".join([record["task"], " + ".join(record["backbones"]), record["dataset"]])
    html = render(
        "folds.html.j2",
        script=script,
        policy=policy(script),
        title=title,
        record=record,
        headline=folds_headline(record),
        number=numbers.readable,
        banners=banners(_content(title, results)),
        tables=[_table(split, figures) for split, figures in record["figures"].items()],
        charts=_charts(output, record),
        runs=[(run, wording.duration(run["total_seconds"])) for run in record["runs"]],
        settings=settings(folds.plan.tree()),
        folder=folder(output),
        inputs=inputs_of(results[0]),
    )
    write_text(output / "report.html", wording.encodable(html))


def _content(title: str, results: Sequence[Mapping[str, Any]]) -> ReportContent:
    """What the warnings of the page are about: the last fold, because all have the same data."""
    data = results[-1]["dataset"]
    info = DatasetInfo(name=data["name"], synthetic=data["synthetic"])
    return ReportContent(title=title, results=results[-1], info=info)


def _table(split: str, figures: Mapping[str, Mapping[str, Any]]) -> FoldsTable:
    rows = [
        (name, plus_minus(spread), [numbers.readable(value) for value in spread["folds"]])
        for name, spread in figures.items()
    ]
    return FoldsTable(split=split, rows=rows)


def _charts(output: Path, record: Mapping[str, Any]) -> list[Chart]:
    """The course of every fold's evaluations, by the loss and by what chose the model."""
    histories = {}
    for run in record["runs"]:
        file = output / run["folder"] / "metrics.jsonl"
        histories[run["fold"]] = read_metrics(file) if file.exists() else []
    charts = []
    for name in dict.fromkeys(("loss", record["monitor"])):
        lines = [
            Line(
                label=f"fold {number}",
                points=points([r for r in history if r.get("split") == "val"], name),
                style="marked",
                colour=(number - 1) % svg.COLOURS,
            )
            for number, history in histories.items()
        ]
        charts.append(svg.draw(f"{wording.title(name)} on val", lines))
    return [chart for chart in charts if chart is not None]
