"""`mmft eval`: evaluates a finished model on its own test data or on other data."""

from __future__ import annotations

from pathlib import Path

import click

from mmft_core.cli.settings import later_settings, set_option
from mmft_core.cli.terminal import echo, echo_json
from mmft_core.discovery import discover
from mmft_core.utils.numbers import counted


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
    help="What to do about samples that cannot be used.  [default: as in the run]",
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
    settings = later_settings(assignments, ("task", "dataset", "engine"))

    from mmft_core.cli.display import make_display
    from mmft_core.cli.summary import figures_table
    from mmft_core.cli.tables import console
    from mmft_core.inference.finished import evaluate_finished

    display = make_display(console(stderr=True))
    try:
        found = evaluate_finished(
            run_dir,
            discover(),
            display,
            dataset=dataset,
            split=split,
            metrics=metric,
            batch_size=batch_size,
            on_bad_sample=on_bad_sample,
            settings=settings,
        )
    finally:
        display.close()
    name, evaluation = found.split, found.evaluation
    if as_json:
        told = {"split": name, "samples": evaluation.samples, "remarks": list(evaluation.remarks)}
        told |= {"kinds": dict(evaluation.kinds)} if evaluation.kinds else {}
        echo_json({**told, "loss": None, **evaluation.record})
        return
    console().print(figures_table({name: evaluation.record}))
    for remark in evaluation.remarks:
        echo(f"! {remark}")
    computed = f"({found.inference.device}, {found.inference.precision})"
    echo(f"{counted(evaluation.samples, 'sample')} in {evaluation.seconds:.1f} s {computed}")
