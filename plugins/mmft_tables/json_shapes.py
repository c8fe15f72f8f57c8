"""The shapes in which a JSON document may hold a table, among them all that pandas writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmft_core.errors import DataError


def records_of(document: Any, path: Path) -> Sequence[Mapping[str, Any]]:
    """The records of a document.

    The document is a list of records, or a record that has such a list; or columns, as lists or by
    row; or rows by their index; or lists beside a list of the columns' names.

    Raises:
        DataError: it has none of these shapes.
    """
    if _are(document, dict):
        return document  # type: ignore[no-any-return]
    if isinstance(document, dict) and document:
        found = _in_record(document)
        if found is not None:
            return found
    raise DataError(
        f"{path} holds no table.",
        hint='Expected a list of records: [{"text": "...", "label": "..."}, ...].',
    )


def _in_record(document: dict[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    values = list(document.values())
    if isinstance(document.get("columns"), list) and _are(document.get("data"), list):
        names = [str(name) for name in document["columns"]]
        if all(len(row) == len(names) for row in document["data"]):
            return [dict(zip(names, row, strict=True)) for row in document["data"]]
        return None
    lists = [value for value in values if _are(value, dict)]
    if len(lists) == 1:
        index = document["schema"].get("primaryKey", ()) if _is_schema(document) else ()
        return [{k: v for k, v in row.items() if k not in index} for row in lists[0]]
    if all(isinstance(value, dict) for value in values):
        return _by_index(document)
    if all(isinstance(value, list) for value in values) and len({len(v) for v in values}) == 1:
        return [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
    return None if any(isinstance(value, list | dict) for value in values) else [document]


def _by_index(document: dict[str, dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The document holds rows by their index, or columns whose cells are by their index.

    The names that are numbers are the index, or else those of which there are more.
    """
    inner = dict.fromkeys(name for value in document.values() for name in value)
    if all(map(str.isdecimal, inner)):
        by_row = False
    else:
        by_row = all(map(str.isdecimal, document)) or len(document) > len(inner)
    if by_row:
        return list(document.values())
    return [{name: cells.get(row) for name, cells in document.items()} for row in inner]


def _is_schema(document: dict[str, Any]) -> bool:
    return isinstance(document.get("schema"), dict)


def _are(value: Any, kind: type) -> bool:
    """Whether a value is a list of such items."""
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
