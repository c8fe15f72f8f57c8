"""`mmft merge`: weights of several runs averaged, with scores before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core import discover
from mmft_core.cli import FiniteRange, echo, echo_json
from mmft_core.errors import ConfigError

if TYPE_CHECKING:
    from mmft_merge.merging import Merged


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to write the merged model to, as a run.",
)
@click.option(
    "--method",
    type=click.Choice(["linear", "ties", "dare", "dare-ties"]),
    default="linear",
    show_default=True,
    help="How to combine the differences from the base weights: linear adds up the weighted "
    "differences; ties first drops small ones, and those whose sign disagrees with the majority; "
    "dare first drops some at random and scales up the others; dare-ties does both.",
)
@click.option(
    "--weight",
    "weights",
    multiple=True,
    type=FiniteRange(),
    help="Weight of a run's difference from the base weights; give one for each run, in their "
    "order.  [default: linear and dare 1/n, ties and dare-ties 1]",
)
@click.option(
    "--density",
    type=FiniteRange(min=0, min_open=True, max=1),
    default=0.2,
    show_default=True,
    help="Share of each tensor's differences to keep: the largest with TIES, a random choice with "
    "DARE.",
)
@click.option(
    "--whole",
    is_flag=True,
    help="Write full weights even if all runs store only adapters.",
)
@click.option(
    "--dataset",
    metavar="NAME|PATH",
    help="Data to score all models on.  [default: the first run's own]",
)
@click.option("--split", help="Split to score on.  [default: test, else val; of other data, all]")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def merge(
    runs: tuple[Path, ...],
    output: Path,
    method: str,
    weights: tuple[float, ...],
    density: float,
    whole: bool,
    dataset: str | None,
    split: str | None,
    as_json: bool,
) -> None:
    """Merge RUNS, which were fine-tuned from the same base weights, into one model.

    \b
    mmft merge runs/maths runs/poems -o runs/both
    mmft merge runs/maths runs/poems -o runs/both --weight 0.7 --weight 0.3
    mmft merge runs/maths runs/poems -o runs/both --method ties --density 0.3

    The runs and the merged model are evaluated on the same data. If every run stores only
    its adapters (engine.lora.save=adapter), so does the merged run: PEFT reads them, and `mmft
    serve --adapter` serves them beside others.
    """
    from mmft_core.cli import console, make_display, next_command
    from mmft_merge.merging import Way, merge_runs

    if len(runs) < 2:
        raise ConfigError("There is only one run to merge.", hint="Give at least two.")
    if weights and len(weights) != len(runs):
        raise ConfigError(
            f"There are {len(runs)} runs and {len(weights)} weights.",
            hint="Give --weight once for each run, or leave it out.",
        )
    way = Way(method, weights or Way.usual(method, len(runs)), density, whole)
    display = make_display(console(stderr=True))
    try:
        merged = merge_runs(runs, output, way, discover(), display, dataset=dataset, split=split)
    finally:
        display.close()
    if as_json:
        echo_json({"split": merged.split, "scores": merged.scores})
        return
    _show(merged)
    echo(f"model   {output / 'model' / ('adapter' if merged.adapters else '')}")
    echo(f"use it  {next_command(merged.results, output)}")


def _show(merged: Merged) -> None:
    from mmft_core.cli import Column, Table, console

    names = list(merged.scores)
    table = Table(f"metric on {merged.split}", *(Column(name, number=True) for name in names))
    for metric in merged.scores[names[-1]]:
        cells = (merged.scores[name].get(metric) for name in names)
        table.add(metric, *("–" if cell is None else f"{cell:.4f}" for cell in cells))
    console().print(table)
