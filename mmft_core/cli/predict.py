"""`mmft predict`: what a finished model says of files."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core.discovery import discover
from mmft_core.errors import DataError

if TYPE_CHECKING:
    from mmft_core.inference import Prediction


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True)
@click.option("--top-k", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl", "csv"]),
    help="Default: table in a terminal, jsonl elsewhere.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file for the output.")
def predict(
    run_dir: Path,
    files: tuple[str, ...],
    top_k: int,
    form: str | None,
    batch_size: int,
    output: Path | None,
) -> None:
    """Let a finished run predict files, folders and glob patterns, in their order.

    \b
    mmft predict runs/flowers photo.jpg ./album 'more/*.png' --top-k 3
    """
    from mmft_core import artifacts
    from mmft_core.config import EngineConfig
    from mmft_core.files import storage_errors
    from mmft_core.inference import Predictor, expand

    model = artifacts.load(run_dir, discover())
    suffixes = next(iter(model.processors.values())).suffixes
    paths = expand(files, suffixes)
    predictor = Predictor(model, EngineConfig(batch_size=batch_size))
    predictions = predictor.predict(paths, top_k)
    form = form or ("table" if output is None and sys.stdout.isatty() else "jsonl")
    if output is None:
        failed = WRITERS[form](predictions, sys.stdout)
    else:
        with storage_errors(output), output.open("w", encoding="utf-8", newline="") as stream:
            failed = WRITERS[form](predictions, stream)
    if failed:
        raise DataError(f"{len(failed)} of {len(paths)} files could not be read: {_some(failed)}")


def _write_jsonl(predictions: Iterable[Prediction], stream: Any) -> list[str]:
    """A JSON object a line, as predictions are made: {"file", ...record} or {"file", "error"}."""
    failed = []
    for prediction in predictions:
        if prediction.record is None:
            failed.append(f"{prediction.source} ({prediction.error})")
        record = prediction.record or {"error": prediction.error}
        stream.write(json.dumps({"file": prediction.source, **record}, ensure_ascii=False) + "\n")
        stream.flush()
    return failed


def _write_csv(predictions: Iterable[Prediction], stream: Any) -> list[str]:
    """A row for each prediction; lists of alternatives become numbered columns."""
    failed, writer = [], None
    for prediction in predictions:
        if prediction.record is None:
            failed.append(f"{prediction.source} ({prediction.error})")
            continue
        row = {"file": prediction.source, **_flat(prediction.record)}
        if writer is None:
            writer = csv.DictWriter(stream, list(row))
            writer.writeheader()
        writer.writerow(row)
    return failed


def _write_table(predictions: Iterable[Prediction], stream: Any) -> list[str]:
    """A table with a column for each alternative."""
    from rich.console import Console
    from rich.table import Table

    failed: list[str] = []
    table: Table | None = None
    for prediction in predictions:
        if prediction.record is None:
            failed.append(f"{prediction.source} ({prediction.error})")
            continue
        row = _flat(prediction.record)
        if table is None:
            table = Table("file", *row, box=None, pad_edge=False)
            table.columns[0].overflow = "fold"
        table.add_row(
            prediction.source,
            *(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()),
        )
    if table is not None:
        Console(file=stream).print(table)
    return failed


def _flat(record: Any) -> dict[str, Any]:
    """Flatten {"label": x, "top": [{"label": x}, ...]}; a list of one says nothing new."""
    flat = {k: v for k, v in record.items() if not isinstance(v, list)}
    for alternatives in (v for v in record.values() if isinstance(v, list)):
        for number, alternative in enumerate(alternatives[1:], start=2):
            items = alternative.items() if isinstance(alternative, dict) else [("", alternative)]
            flat |= {f"{key}_{number}": value for key, value in items}
    return flat


def _some(failed: list[str]) -> str:
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    return "; ".join(failed[:5]) + more + "."


WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "table": _write_table}
