"""`mmft predict`: what a finished model says of files and texts."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core.config import Tree, merge, parse_set
from mmft_core.discovery import discover
from mmft_core.errors import ConfigError, DataError, some_of
from mmft_core.labelled_files import printable
from mmft_core.registry import Registry
from mmft_core.run_directory import RunDirectory

if TYPE_CHECKING:
    from mmft_core.contracts import Split
    from mmft_core.inference import Prediction, Predictor


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1)
@click.option("--dataset", metavar="NAME|PATH", help="Predict the samples of a data set.")
@click.option("--split", default="all", show_default=True, help="Of the data set.")
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl", "csv"]),
    help="Default: table in a terminal, jsonl elsewhere.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As task.num_beams=4."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file for the output.")
def predict(
    run_dir: Path,
    inputs: tuple[str, ...],
    dataset: str | None,
    split: str,
    top_k: int,
    form: str | None,
    batch_size: int,
    assignments: tuple[str, ...],
    output: Path | None,
) -> None:
    """Let a finished run predict files, folders, glob patterns or texts, in their order.

    \b
    mmft predict runs/flowers photo.jpg ./album 'more/*.png' --top-k 3
    mmft predict runs/topics 'A text as it is' letter.txt
    mmft predict runs/topics - < texts.txt             one input a line
    mmft predict runs/topics --dataset texts.csv
    """
    from mmft_core import artifacts
    from mmft_core.config import EngineConfig
    from mmft_core.files import storage_errors
    from mmft_core.inference import Predictor

    if bool(inputs) == (dataset is not None):
        raise ConfigError(
            "Nothing to predict was given." if not inputs else "Give either inputs or --dataset."
        )
    registry, settings = discover(), parse_set(assignments)
    model = artifacts.load(run_dir, registry, settings)
    predictor = Predictor(model, EngineConfig(batch_size=batch_size))
    if dataset is not None:
        chosen = split_of_dataset(run_dir, dataset, split, registry, settings)
        predictions = predictor.predict_split(chosen, top_k)
    else:
        predictions = _predictions(predictor, inputs, top_k)
    form = form or ("table" if output is None and sys.stdout.isatty() else "jsonl")
    counted = _Counted(predictions)
    if output is None:
        WRITERS[form](counted, sys.stdout)
    else:
        with storage_errors(output), output.open("w", encoding="utf-8", newline="") as stream:
            WRITERS[form](counted, stream)
    if counted.failed:
        raise DataError(
            f"{len(counted.failed)} of {counted.number} inputs could not be read: "
            f"{some_of(counted.failed)}"
        )


def _predictions(predictor: Predictor, inputs: tuple[str, ...], top_k: int) -> Iterator[Prediction]:
    """Predict the inputs, which are looked up at once; or the lines of standard input."""
    from mmft_core.sources import expand

    if inputs != ("-",):
        return predictor.predict(list(expand(inputs, predictor.processor)), top_k)
    return _predict_lines(predictor, top_k)


def _predict_lines(predictor: Predictor, top_k: int) -> Iterator[Prediction]:
    """Predict standard input as it comes, a batch at a time."""
    from mmft_core.sources import typed

    lines = typed(sys.stdin, predictor.processor)
    while batch := list(itertools.islice(lines, predictor.config.batch_size)):
        yield from predictor.predict(batch, top_k)


def split_of_dataset(
    run_dir: Path, dataset: str, split: str, registry: Registry, settings: Tree
) -> Split:
    """The samples of a data set, read as the run's task reads them."""
    from mmft_core.inference import choose_split
    from mmft_core.parts import build_dataset
    from mmft_core.plan import resolve

    tree = RunDirectory(run_dir).open() | {"dataset": {"name": dataset}}
    data = build_dataset(resolve(merge(tree, settings), registry), training=False, targets=False)
    return choose_split(data, split)


class _Counted:
    """Predictions passing through, with what failed kept for the end."""

    def __init__(self, predictions: Iterable[Prediction]) -> None:
        self.predictions, self.number = predictions, 0
        self.failed: list[str] = []

    def __iter__(self) -> Iterator[Prediction]:
        for prediction in self.predictions:
            self.number += 1
            # A file's name need not be UTF-8, and what is written must.
            shown = replace(prediction, source=printable(prediction.source))
            if shown.record is None:
                self.failed.append(f"{shown.source} ({shown.error})")
            yield shown


def _write_jsonl(predictions: Iterable[Prediction], stream: Any) -> None:
    """A JSON object a line, as predictions are made: {"input", ...record} or {"input", "error"}."""
    for prediction in predictions:
        record = {"error": prediction.error} if prediction.record is None else prediction.record
        stream.write(json.dumps({"input": prediction.source, **record}, ensure_ascii=False) + "\n")
        stream.flush()


def _write_csv(predictions: Iterable[Prediction], stream: Any) -> None:
    """A row for each prediction; lists of alternatives become numbered columns."""
    writer = None
    for prediction in predictions:
        if prediction.record is None:
            continue
        row = {"input": prediction.source, **_flat(prediction.record)}
        if writer is None:
            writer = csv.DictWriter(stream, list(row))
            writer.writeheader()
        writer.writerow(row)


def _write_table(predictions: Iterable[Prediction], stream: Any) -> None:
    """A table with a column for each alternative."""
    from rich.console import Console
    from rich.table import Table

    table: Table | None = None
    for prediction in predictions:
        if prediction.record is None:
            continue
        row = _flat(prediction.record)
        if table is None:
            table = Table("input", *row, box=None, pad_edge=False)
            table.columns[0].overflow = "fold"
        table.add_row(
            prediction.source,
            *(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()),
        )
    if table is not None:
        Console(file=stream).print(table)


def _flat(record: Any) -> dict[str, Any]:
    """Flatten {"label": x, "top": [{"label": x}, ...]}; a list of one says nothing new.

    Of alternatives the first is the record itself; numbers are columns like "embedding_1".
    """
    flat = {k: v for k, v in record.items() if not isinstance(v, list)}
    for name, values in record.items():
        if not isinstance(values, list):
            continue
        for number, value in enumerate(values, start=1):
            if not isinstance(value, dict):
                flat[f"{name}_{number}"] = value
            elif number > 1:
                flat |= {f"{key}_{number}": item for key, item in value.items()}
    return flat


WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "table": _write_table}
