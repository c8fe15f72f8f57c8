"""The page of a cross-validation: every figure of every fold, with mean and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmft_core.contracts import DatasetInfo
from mmft_core.files import write_text
from mmft_core.metrics_log import read_metrics
from mmft_core.report import svg, wording
from mmft_core.report.content import ReportContent
from mmft_core.report.curves import points
from mmft_core.report.facts import settings
from mmft_core.report.findings import banners
from mmft_core.report.page import folder, policy
from mmft_core.report.svg import Chart, Line
from mmft_core.report.templating import asset, render


@dataclass(frozen=True, kw_only=True)
class FoldsTable:
    """A row for each figure of a split, with mean ± spread and a cell for each fold."""

    split: str
    rows: list[tuple[str, str, list[str]]]


def write_folds_report(
    output: Path,
    record: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
) -> None:
    """Write `report.html` above the folds.

    Args:
        record: what `folds.json` holds.
        results: what each fold's `results.json` holds.
        config: the resolved configuration.

    Raises:
        StorageError: it cannot be written.
    """
    script = asset("report.js")
    title = " · ".join([record["task"], " + ".join(record["backbones"]), record["dataset"]])
    html = render(
        "folds.html.j2",
        script=script,
        policy=policy(script),
        title=title,
        record=record,
        headline=headline(record),
        number=wording.figure,
        banners=banners(_content(title, results)),
        tables=[_table(split, figures) for split, figures in record["figures"].items()],
        charts=_charts(output, record),
        runs=[(run, wording.duration(run["total_seconds"])) for run in record["runs"]],
        settings=settings(config),
        folder=folder(output),
        inputs=wording.inputs_of(results[0]),
    )
    write_text(output / "report.html", wording.encodable(html))


def plus_minus(spread: Mapping[str, Any]) -> str:
    """0.9762 ± 0.0081; with how many folds define it, where some do not."""
    if spread["mean"] is None:
        return "–"
    defined = sum(value is not None for value in spread["folds"])
    some = f" ({defined} of {len(spread['folds'])})" if defined < len(spread["folds"]) else ""
    return f"{wording.figure(spread['mean'])} ± {wording.figure(spread['std'])}{some}"


def headline(record: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]] | None:
    """Name, split and spread of the monitored figure: on test where there is one, else on val."""
    for split in ("test", "val"):
        spread = record["figures"].get(split, {}).get(record["monitor"])
        if spread is not None and spread["mean"] is not None:
            return record["monitor"], split, spread
    return None


def _content(title: str, results: Sequence[Mapping[str, Any]]) -> ReportContent:
    """What the warnings of the page are about: the last fold, for all have the same data."""
    data = results[-1]["dataset"]
    info = DatasetInfo(name=data["name"], synthetic=data["synthetic"])
    return ReportContent(title=title, results=results[-1], info=info)


def _table(split: str, figures: Mapping[str, Mapping[str, Any]]) -> FoldsTable:
    rows = [
        (name, plus_minus(spread), [wording.figure(value) for value in spread["folds"]])
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
