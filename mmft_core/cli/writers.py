"""The formats that predictions are written in, one after the other as they are made."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mmft_core.files import json_text

if TYPE_CHECKING:
    from mmft_core.inference.predictor import Prediction


def _write_jsonl(predictions: Iterable[Prediction], stream: Any) -> None:
    """A JSON object a line, as predictions are made: {"input", ...record} or {"input", "error"}."""
    for prediction in predictions:
        record = {"error": prediction.error} if prediction.record is None else prediction.record
        stream.write(json_text({"input": prediction.source, **record}) + "\n")
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


def _write_text(predictions: Iterable[Prediction], stream: Any) -> None:
    """The first text of each record, a line for each input."""
    for prediction in predictions:
        values = (prediction.record or {}).values()
        text = next((value for value in values if isinstance(value, str)), "")
        stream.write(" ".join(text.split()) + "\n")
        stream.flush()


WRITERS = {
    "table": _write_table,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "text": _write_text,
}
