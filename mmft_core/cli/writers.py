"""Formats for predictions, written one record at a time."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from mmft_core.cli.terminal import dump_json, for_lines
from mmft_core.utils.escaping import shortened, spreadsheet_cell

if TYPE_CHECKING:
    from mmft_core.inference.predictor import Prediction

FORMATS = ("table", "jsonl", "csv", "text")

_SHOWN = 3
"""Numbers of a list that a table shows."""


def write(
    predictions: Iterable[Prediction], form: str, stream: IO[str], *, raw: bool = False
) -> None:
    """Write predictions, in their order, and what is wrong with inputs that could not be read.

    Args:
        form: one of `FORMATS`.
        raw: whether CSV has no apostrophes before what a spreadsheet would take for a formula.
    """
    if form == "table":
        _write_table(predictions, stream)
    elif form == "jsonl":
        _write_jsonl(predictions, stream)
    elif form == "csv":
        _write_csv(predictions, for_lines(stream), raw)
    else:
        _write_text(predictions, for_lines(stream))


def _write_jsonl(predictions: Iterable[Prediction], stream: IO[str]) -> None:
    """A JSON object a line, as predictions are made: {"input", ...record} or {"input", "error"}."""
    for prediction in predictions:
        record = {"error": prediction.error} if prediction.record is None else prediction.record
        stream.write(dump_json({"input": prediction.source, **record}) + "\n")
        stream.flush()


def _write_csv(predictions: Iterable[Prediction], stream: IO[str], raw: bool) -> None:
    """A row for each prediction; the columns are those of all records, and `error`.

    Lists of alternatives and of numbers become numbered columns, other lists are JSON. As a later
    record may hold more than those before it, rows wait in a file until all are known.
    """
    columns = {"input": None}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as waiting:
        try:
            for prediction in predictions:
                record = prediction.record
                cells = {"error": prediction.error} if record is None else dict(_cells(record))
                row = {"input": prediction.source, **cells}
                columns |= dict.fromkeys(row)
                waiting.write(json.dumps(row) + "\n")
        finally:  # What is there is written even if the user interrupts.
            names = [name for name in columns if name != "error"] + ["error"]
            writer = csv.writer(stream)
            writer.writerow(_csv_cell(name, raw) for name in names)
            waiting.seek(0)
            for row in map(json.loads, waiting):
                writer.writerow(_csv_cell(row.get(name), raw) for name in names)
            stream.flush()


def _csv_cell(value: Any, raw: bool) -> Any:
    if value is None:
        return ""
    return spreadsheet_cell(value) if isinstance(value, str) and not raw else value


def _cells(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The cells of a record, without the first of its alternatives, which is the record itself."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _cells({f"{name}_{key}": item for key, item in value.items()})
        elif not isinstance(value, list):
            yield name, value
    for name, value in record.items():
        if not isinstance(value, list):
            continue
        if _are_alternatives(value, record):
            for number, other in enumerate(value[1:], start=2):
                yield from ((f"{key}_{number}", item) for key, item in other.items())
        elif _are_numbers(value):
            yield from ((f"{name}_{number}", item) for number, item in enumerate(value, start=1))
        else:
            yield name, dump_json(value)


def _are_alternatives(values: Sequence[Any], record: Mapping[str, Any]) -> bool:
    """Whether a list holds what the record could have been instead, the record itself first."""
    inner = [value for value in values if isinstance(value, Mapping)]
    if not inner or len(inner) < len(values):
        return False
    itself = all(name in record and record[name] == value for name, value in inner[0].items())
    return itself and all(other.keys() <= inner[0].keys() for other in inner)


def _are_numbers(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, float | int) for value in values)


def _are_texts(value: Any) -> bool:
    """Whether a value is a list of texts, such as the labels of a sample."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _write_table(predictions: Iterable[Prediction], stream: IO[str]) -> None:
    """A table, in which alternatives have lines of their own."""
    from mmft_core.cli.tables import Column, Table, console

    rows = [row for prediction in predictions for row in _lines(prediction)]
    names = sorted(dict.fromkeys(n for row in rows for n in row), key=lambda name: name == "error")
    if not rows:
        return
    table = Table(*(Column(n, number=all(_is_number(row.get(n)) for row in rows)) for n in names))
    for row in rows:
        table.add(*(_shown(row.get(name)) for name in names))
    console(file=stream).print(table)


def _lines(prediction: Prediction) -> Iterator[dict[str, Any]]:
    """The lines of a table for a prediction."""
    record = prediction.record
    if record is None:
        yield {"input": shortened(prediction.source), "error": prediction.error}
        return
    others = {
        name: value
        for name, value in record.items()
        if isinstance(value, list) and _are_alternatives(value, record)
    }
    single = {name: value for name, value in record.items() if name not in others}
    yield {"input": shortened(prediction.source), **single}
    yield from ({"input": "", **other} for values in others.values() for other in values[1:])


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, float | int)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 0.001 or not value else f"{value:.3g}"
    if isinstance(value, list) and _are_numbers(value):
        dots = ", …" if len(value) > _SHOWN else ""
        return f"{', '.join(map(_shown, value[:_SHOWN]))}{dots} ({len(value):,})"
    if _are_texts(value):
        return ", ".join(value)
    if isinstance(value, list):
        return f"{len(value):,}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_shown(item)}" for key, item in value.items())
    return "" if value is None else str(value)


def _write_text(predictions: Iterable[Prediction], stream: IO[str]) -> None:
    """The first text or texts of each record, a line for each input; an empty one for errors."""
    for prediction in predictions:
        values = (prediction.record or {}).values()
        found = next((v for v in values if isinstance(v, str) or _are_texts(v)), "")
        text = found if isinstance(found, str) else ", ".join(found)
        stream.write(" ".join(text.split()) + "\n")
        stream.flush()
