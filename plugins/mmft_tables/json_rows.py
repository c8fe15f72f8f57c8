"""Reading JSON: one record per line, or all records in one document."""

from __future__ import annotations

import functools
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from mmft_core.errors import DataError, first_line
from mmft_core.utils import suffix_of
from mmft_tables.headers import Read, column_name
from mmft_tables.json_shapes import records_of
from mmft_tables.text_files import open_text
from mmft_tables.typed_columns import BATCH, Spool, array_of, common_type, type_of

Record: TypeAlias = Mapping[str, Any]

_COMPARED = 1000
"""Lines in which names that occur twice are looked for."""


class _TwiceError(ValueError):
    """A record has a name twice."""


def read_json(path: Path) -> Read:
    """Read records of any JSON values; dates and numbers in quotation marks stay text.

    Where a record lacks a name, the cell is missing.

    Raises:
        DataError: the file is not JSON, or has no records; names the line.
    """
    lines = json_records(path)
    if not isinstance(lines, _JsonLines):
        return read_records(lambda: iter(lines), lambda row: f"{path}, row {row + 1}")
    read = read_records(lambda: iter(lines), lambda row: f"{path}, line {lines.numbers[row]}")
    numbers = np.array(lines.numbers, dtype=np.int64)
    passed_over = len(numbers) and numbers[-1] != len(numbers)
    return replace(read, numbers=numbers if passed_over else None)


def json_records(path: Path) -> Iterable[Record]:
    """The records of a file as they are, their names spelled as names of columns.

    In a table all cells of a column have one type, so records in them get the names of all others.
    This is for callers that have to know which names were there.

    Raises:
        DataError: the file is not JSON, or holds no records; names the line.
    """
    return _document(path) if _is_document(path) else _JsonLines(path)


def read_records(records: Callable[[], Iterator[Record]], place: Callable[[int], str]) -> Read:
    """Make columns of records, which are read twice: for the types and for the values.

    Args:
        place: what messages call a row, by its index.

    Raises:
        DataError: a text cannot be encoded; names its row.
    """
    types: dict[str, list[pa.DataType]] = {}
    for batch in _batches(records()):
        for name in dict.fromkeys(name for record in batch for name in record):
            types.setdefault(name, []).append(type_of([r.get(name) for r in batch]))
    found = {name: common_type(kinds) for name, kinds in types.items()}
    done = 0
    with Spool(found) as spool:
        for batch in _batches(records()):
            columns = []
            for name, kind in found.items():
                values = [record.get(name) for record in batch]
                try:
                    columns.append(array_of(values, kind))
                except UnicodeEncodeError:
                    row = next(k for k, value in enumerate(values) if not _encodes(value))
                    raise DataError(
                        f"{place(done + row)}: '{name}' holds half of a character, which is not "
                        "text (a lone surrogate).",
                        hint="Correct the cell.",
                    ) from None
            spool.add(columns)
            done += len(batch)
        return Read(list(found), list(spool.table().columns))


def _batches(records: Iterator[Record]) -> Iterator[Sequence[Record]]:
    while batch := list(islice(records, BATCH)):
        yield batch


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_document(path: Path) -> bool:
    """Whether a file is one JSON document rather than one record per line."""
    with open_text(path) as file:
        line = next((line.strip() for line in file if line.strip()), "")
        if line.startswith("["):
            return True
        if suffix_of(path).startswith(".jsonl"):
            return False
        try:
            first = json.loads(line)
        except ValueError:
            return True
        return not isinstance(first, dict) or not any(line.strip() for line in file)


class _JsonLines:
    """The records of a file. Blank lines are skipped.

    Attributes:
        numbers: their line numbers, from 1, after an iteration.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.numbers = array("q")

    def __iter__(self) -> Iterator[Record]:
        decode = msgspec.json.Decoder().decode
        numbers = array("q")
        with open_text(self._path) as file:
            for number, line in enumerate(file, 1):
                if line.isspace():
                    continue
                try:
                    # This decoder is fast, but takes the last of two equal names without a word.
                    record = decode(line) if number > _COMPARED else None
                except (msgspec.DecodeError, RecursionError):
                    record = None  # It may hold NaN, which is often written, though not JSON.
                if not isinstance(record, dict):
                    record = _parsed(line, self._path, number)
                if not isinstance(record, dict):
                    raise _bad(self._path, number, "it is not a record")
                try:
                    record = _with_column_names(record)
                except _TwiceError as error:
                    raise _bad(self._path, number, str(error)) from None
                numbers.append(number)
                yield record
        self.numbers = numbers


def _document(path: Path) -> Sequence[Record]:
    with open_text(path) as file:
        text = file.read()
    records = records_of(_parsed(text, path, None), path)
    try:
        return [_with_column_names(record) for record in records]
    except _TwiceError as error:
        raise _bad(path, None, str(error)) from None


def _parsed(text: str, path: Path, line: int | None) -> Any:
    """Args:
    line: the line of the text; None for the whole file.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        cause = f"it is not valid JSON: {error.msg}"
        raise _bad(path, line or error.lineno, cause) from None
    except _TwiceError as error:
        raise _bad(path, line, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise _bad(path, line, f"it is not valid JSON: {first_line(error)}") from None


_column_name = functools.lru_cache(1024)(column_name)


def _with_column_names(record: Record) -> Record:
    """A record with its names spelled as names of columns, so that two spellings are one column.

    Raises:
        _TwiceError: it has both.
    """
    names = [_column_name(name) for name in record]
    return record if names == list(record) else _unique([*zip(names, record.values(), strict=True)])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"'{twice}' occurs twice in one record")
    return record


def _bad(path: Path, line: int | None, cause: str) -> DataError:
    place = f"{path}, line {line}" if line else str(path)
    return DataError(
        f"{place}: {cause}.",
        hint="Expected a JSON object on each line, or one list of them.",
    )
