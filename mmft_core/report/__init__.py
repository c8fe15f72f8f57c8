"""The report and the model card of a finished run.

Both know no modality and no task: figures are shown by their shape (a number, one for each class,
a matrix over classes) and inputs by the MIME type of their preview.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mmft_core.config import dump_toml
from mmft_core.contracts import Dataset, Task
from mmft_core.evaluation import Evaluation
from mmft_core.files import write_text
from mmft_core.plan import Plan
from mmft_core.report.charts import curves
from mmft_core.report.gallery import collect_gallery
from mmft_core.report.tables import class_table, figure_rows, headline, matrices, warnings_of
from mmft_core.run_directory import RunDirectory
from mmft_core.tracking import read_metrics


def write_report_and_card(
    directory: RunDirectory,
    results: Mapping[str, Any],
    plan: Plan,
    dataset: Dataset,
    evaluations: Mapping[str, Evaluation],
    task: Task,
) -> None:
    """Write `report.html`, one self-contained page, and `README.md`, the model card.

    Args:
        results: what `results.json` holds.
        evaluations: of the kept model by split; the last one is the one that is shown in detail.

    Raises:
        StorageError: they cannot be written.
    """
    split = next((name for name in ("test", "val") if name in evaluations), None)
    evaluation = evaluations[split] if split else None
    classes = dataset.info.classes
    content = {
        "results": results,
        "title": f"{results['task']} · {backbone_names(results)}",
        "headline": headline(results),
        "warnings": warnings_of(results),
        "split": split,
        "figures": figure_rows(results["metrics"]),
        "curves": curves(read_metrics(directory.metrics) if directory.metrics.exists() else []),
        "classes": classes,
        "class_table": class_table(evaluation.values, classes) if evaluation else None,
        "matrices": matrices(evaluation.values, classes) if evaluation else [],
        "gallery": collect_gallery(dataset.splits[split], evaluation, task)
        if split and evaluation
        else {},
        "config": dump_toml(plan.tree()),
        "run": directory.path.name,
    }
    environment = Environment(
        loader=PackageLoader("mmft_core.report"),
        autoescape=select_autoescape(["html", "html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(
        directory.path / "report.html", environment.get_template("report.html.j2").render(content)
    )
    write_text(directory.path / "README.md", environment.get_template("card.md.j2").render(content))


def backbone_names(results: Mapping[str, Any]) -> str:
    return " + ".join(part["name"] for part in results["backbones"].values())
