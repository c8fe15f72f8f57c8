"""`mmft eval`: a finished model on its own test data or on other data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli.settings import later_settings, set_option
from mmft_core.cli.terminal import echo, echo_json
from mmft_core.cli.using import check_engine
from mmft_core.discovery import discover
from mmft_core.errors import DataError
from mmft_core.planning.callback_choice import without_callbacks
from mmft_core.planning.options import as_written
from mmft_core.planning.resolving import resolve, with_data
from mmft_core.planning.trees import merge
from mmft_core.run_directory import RunDirectory

if TYPE_CHECKING:
    from mmft_core.contracts import Dataset


@click.command("eval")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--dataset", metavar="NAME|PATH", help="Data to evaluate on.  [default: the run's own]"
)
@click.option(
    "--split",
    help="Split to evaluate: train, val, test or all.  [default: test; all of other data]",
)
@click.option(
    "--metric", multiple=True, help="Metric to compute; can be repeated.  [default: the run's]"
)
@click.option("--batch-size", type=int, help="Samples per forward pass.  [default: the run's]")
@click.option(
    "--on-bad-sample",
    type=click.Choice(["fail", "skip"]),
    help="What to do about a sample that cannot be read.  [default: as in the run]",
)
@set_option("A setting to change, such as task.num_beams=4; can be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print all metrics as JSON.")
def evaluate(
    run_dir: Path,
    dataset: str | None,
    split: str | None,
    metric: tuple[str, ...],
    batch_size: int | None,
    on_bad_sample: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Evaluate a finished run, or an export, on its own test data or on other data.

    \b
    mmft eval runs/flowers
    mmft eval runs/flowers --dataset ./new-photos
    """
    from mmft_core import opening

    run_dir, registry = opening.place(run_dir), discover()
    tree = own = without_callbacks(RunDirectory(run_dir).open())
    with as_written():
        of_run = resolve(own, registry)
        if dataset is not None:
            tree = with_data(tree, dataset, registry)
    settings = later_settings(assignments, ("task", "dataset", "engine"))
    tree = merge(tree, settings)
    if metric:
        tree["metrics"] = list(metric)
    if batch_size is not None:
        tree = merge(tree, {"engine": {"batch_size": batch_size}})
    if on_bad_sample is not None:
        tree["on_bad_sample"] = on_bad_sample
    with as_written():
        plan = resolve(tree, registry)

    from mmft_core.cli.display import make_display
    from mmft_core.cli.summary import figures_table
    from mmft_core.cli.tables import console
    from mmft_core.inference.predictor import Predictor
    from mmft_core.named_data import named_data
    from mmft_core.own_data import OwnData
    from mmft_core.parts import build_metrics, tell_warnings

    model = opening.load(run_dir, registry, settings)
    check_engine(model, settings)
    display = make_display(console(stderr=True))
    try:
        directory = RunDirectory(run_dir)
        if dataset is None:
            own_data = OwnData.again(directory, of_run, plan)
            data = own_data.dataset
            name = split or _judged(data)
            own_data.check(name)
        else:
            name = split or "all"
            data = named_data(directory, of_run, plan, name, display.on_message)
        tell_warnings(data, display.on_message)
        metrics = build_metrics(plan.metrics, model.info)
        predictor = Predictor(model, plan.engine)
        evaluation = predictor.evaluate(
            data, name, metrics, display, skip_bad=plan.on_bad_sample == "skip"
        )
    finally:
        display.close()
    if as_json:
        told = {"split": name, "samples": evaluation.samples, "remarks": list(evaluation.remarks)}
        echo_json({**told, "loss": None, **evaluation.record})
        return
    console().print(figures_table({name: evaluation.record}))
    for remark in evaluation.remarks:
        echo(f"! {remark}")
    computed = f"({predictor.inference.device}, {predictor.inference.precision})"
    echo(f"{evaluation.samples} samples in {evaluation.seconds:.1f} s {computed}")


def _judged(data: Dataset) -> str:
    """The split that a run is judged on.

    Raises:
        DataError: all its data were learned from.
    """
    for name in ("test", "val"):
        if name in data.splits:
            return name
    raise DataError(
        f"Dataset '{data.info.name}' has neither test nor val.",
        hint="Give --split train, or other data with --dataset.",
    )
