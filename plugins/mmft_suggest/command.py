"""`mmft suggest`: which backbone to choose, measured on one's own data and machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core import discover
from mmft_core.cli import echo, set_option
from mmft_core.config import merge, nest, parse_set
from mmft_core.errors import MmftError, WeightsError, first_line
from mmft_core.utils import numbers

if TYPE_CHECKING:
    from mmft_suggest.candidates import Candidate
    from mmft_suggest.measuring import Measured

_FLAGS = {
    "task": "task.name",
    "dataset": "dataset.name",
    "tune": "engine.tune",
    "epochs": "engine.epochs",
    "batch_size": "engine.batch_size",
    "seed": "engine.seed",
}


@click.command()
@click.option("--task", required=True, help="Task to learn, such as image-cls.")
@click.option(
    "--dataset", metavar="NAME|PATH", help="Data set to train on: a name, a folder, or a table."
)
@click.option(
    "--backbone",
    multiple=True,
    metavar="NAME",
    help="Backbone to compare; can be repeated.  [default: all that fit]",
)
@click.option(
    "--weights",
    multiple=True,
    metavar="[BACKBONE=]WHAT",
    help="Weights of one backbone or of all: pretrained, none (random), or a path.  [default: "
    "pretrained]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=20),
    default=500,
    show_default=True,
    help="Samples on which the backbones are compared.",
)
@click.option("--tune", metavar="full|head|last=N|lora", help="Which weights the run would train.")
@click.option("--epochs", type=int, help="Epochs of the run, for the estimate of its time.")
@click.option("--batch-size", type=int, help="Samples per forward pass.")
@click.option("--seed", type=int, help="Random seed for the choice of samples.")
@set_option("Any setting of the run; can be repeated.")
@click.option(
    "--json",
    "file",
    type=click.Path(path_type=Path),
    help="Write all results to this file as JSON.",
)
def suggest(
    backbone: tuple[str, ...],
    weights: tuple[str, ...],
    samples: int,
    assignments: tuple[str, ...],
    file: Path | None,
    **given: Any,
) -> None:
    """Compare backbones on your data: accuracy, speed and memory.

    Each backbone computes the features of a sample of the training data, on which a linear model
    is cross-validated; then it trains for some steps to measure speed and memory. The features are
    cached for runs with frozen backbones.

    \b
    mmft suggest --task image-cls --dataset ./photos
    mmft suggest --task text-cls --dataset reviews.csv --backbone minilm --backbone distilbert
    """
    from mmft_core.utils import write_json
    from mmft_suggest.candidates import candidates

    registry = discover()
    flags = {key: given[flag] for flag, key in _FLAGS.items() if given[flag] is not None}
    tree = merge(nest(flags), parse_set(assignments))
    chosen = _weights(weights)
    found = candidates(tree, backbone, chosen, registry)
    found = _with_weights(found, explicit=bool(backbone))
    measured = sorted(_measured(found, samples), key=_worth, reverse=True)
    if not measured:
        raise MmftError("None of the backbones could be measured.", hint="The reasons are above.")
    commands = {m.name: _command(m, given, chosen, assignments) for m in measured}
    for warning in dict.fromkeys(text for m in measured for text in m.warnings):
        echo(f"! {warning}", err=True)
    _show(measured, commands)
    if file is not None:
        write_json(file, [asdict(m) | {"command": commands[m.name]} for m in measured])


def _weights(choices: Sequence[str]) -> dict[str, str]:
    """The weights by backbone; "" for all."""
    pairs = (choice.rpartition("=") for choice in choices)
    return {name: what for name, _, what in pairs}


def _with_weights(found: list[Candidate], *, explicit: bool) -> list[Candidate]:
    """The candidates whose weights are available, and those that need none.

    Raises:
        WeightsError: those of a named one are not available, or those of none.
    """
    from mmft_suggest.measuring import missing_weights

    wanting = [candidate for candidate in found if candidate.weights != "none"]
    if not wanting:
        return found
    label = f"Looking for the weights of {len(wanting)} backbones"
    with _process() as pool, click.progressbar(wanting, label=label, file=sys.stderr) as bar:
        reasons = {c.name: pool.submit(missing_weights, c).result() for c in bar}
    missing = {name: reason for name, reason in reasons.items() if reason is not None}
    left = [candidate for candidate in found if candidate.name not in missing]
    hint = "Give --weights BACKBONE=PATH, or --weights none to compare them untrained."
    if missing and explicit:
        name, reason = next(iter(missing.items()))
        raise WeightsError(f"{name}: {reason}", hint=hint)
    for name, reason in missing.items():
        echo(f"! {name} is left out: {first_line(WeightsError(reason))}", err=True)
    if not left:
        raise WeightsError("No backbone's weights are available; the reasons are above.", hint=hint)
    return left


def _measured(found: list[Candidate], samples: int) -> Iterator[Measured]:
    from mmft_suggest.measuring import measure

    for number, candidate in enumerate(found, start=1):
        echo(f"[{number}/{len(found)}] {candidate.name}", err=True)
        with _process() as pool:
            try:
                yield pool.submit(measure, candidate, samples).result()
            except MmftError as error:
                if len(found) == 1:
                    raise
                echo(f"! {candidate.name}: {error}", err=True)
            except Exception as error:  # Mostly of memory. The others are still measured.
                echo(f"! {candidate.name} failed: {first_line(error)}", err=True)


@contextmanager
def _process() -> Iterator[ProcessPoolExecutor]:
    """A process for one piece of work; its memory is measured, and freed by its end."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def _worth(measured: Measured) -> tuple[float, float]:
    return (measured.score.mean if measured.score else 0.0, measured.rate)


def _command(
    measured: Measured, given: dict[str, Any], weights: dict[str, str], assignments: Sequence[str]
) -> str:
    """The command of the run with this backbone."""
    words = ["mmft", "run", "--task", given["task"]]
    words += ["--backbone", measured.name]
    chosen = weights.get(measured.name, weights.get(""))
    optional = {
        "--dataset": given["dataset"],
        "--weights": chosen,
        "--tune": given["tune"],
        "--epochs": given["epochs"],
        "--batch-size": given["batch_size"],
        "--seed": given["seed"],
    }
    for flag, value in optional.items():
        words += [] if value is None else [flag, str(value)]
    for assignment in assignments:
        words += ["--set", assignment]
    return shlex.join(words)


def _show(measured: list[Measured], commands: dict[str, str]) -> None:
    from mmft_core.cli import Column, Table, console

    score = next((m.score for m in measured if m.score), None)
    named = ("size", score.name if score else "score", "samples/s", "memory", "time")
    table = Table("backbone", *(Column(name, number=True) for name in named), "weights")
    for m in measured:
        shown = f"{m.score.mean:.3f} ± {m.score.deviation:.3f}" if m.score else "-"
        table.add(
            m.name, numbers.parameters(m.parameters), shown, f"{m.rate:,.1f}",
            f"{m.peak_bytes / 1e6:,.0f} MB", _duration(m.seconds), Path(m.weights).name,
        )  # fmt: skip
    console().print(table)
    if score is None:
        echo("The target is neither a class nor a number, so there is no linear probe.")
    else:
        echo(
            f"{score.name} is that of a linear model on frozen features; guessing reaches "
            f"{score.guess:.3f}. time is for training with the command below."
        )
    echo(f"run it  {commands[measured[0].name]}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
