"""Recognising files and folders that are tables.

Such folders are those that `datasets` saves, and Parquet files in shards as on the Hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmft_core.data.split_names import SPLIT_NAMES
from mmft_core.errors import DataError
from mmft_core.utils.files import suffix_of
from mmft_core.utils.folders import is_hidden

TABLE_SUFFIXES = (
    ".csv",
    ".tsv",
    ".jsonl",
    ".json",
    ".parquet",
    ".xlsx",
    ".csv.gz",
    ".tsv.gz",
    ".jsonl.gz",
    ".json.gz",
)
"""Suffixes of the files that are read as tables, in lower case."""

_SHARD = re.compile(r"(?:(?P<name>.+?)[-_.])?(?:part[-_])?\d{2,}(?:-of-\d{2,})?(?:[-_.].*)?")
"""The stem of a shard's name: train-00000-of-00002, part-0001, 0000."""

_BESIDE = (".md", ".json", ".yaml", ".yml", ".py", ".txt", ".crc", "")
"""Suffixes of files that lie beside tables: cards, descriptions, markers."""

_DEEPEST = 3
"""Folders within folders in which shards are looked for: config/split/0000.parquet."""


@dataclass(frozen=True)
class TablePart:
    """One of the files or saved folders that a table consists of.

    Attributes:
        path: of a Parquet file, or of a folder that `Dataset.save_to_disk` wrote.
        name: what messages call it.
        split: "train", "val" or "test" if its name says so.
    """

    path: Path
    name: str
    split: str | None


def form_of(path: Path) -> str:
    """What a path is opened as: "/" for a folder, ".parquet" for a table's folder, or a suffix."""
    if not path.is_dir():
        return suffix_of(path)
    return ".parquet" if is_table_folder(path) else "/"


def is_table_folder(folder: Path) -> bool:
    """Whether a folder is a table."""
    if not folder.is_dir():
        return False
    return _is_saved(folder) or (folder / "dataset_dict.json").is_file() or bool(_shards(folder))


def parts_of(folder: Path) -> tuple[list[TablePart], list[str]]:
    """What a table's folder consists of, and notes on what was left out.

    Raises:
        DataError: it holds several tables.
    """
    if _is_saved(folder):
        return [TablePart(folder, folder.absolute().name, None)], []
    if (folder / "dataset_dict.json").is_file():
        inner = sorted(f for f in folder.iterdir() if f.is_dir() and _is_saved(f))
        found = [TablePart(f, f"{folder.absolute().name}/{f.name}", _split(f.name)) for f in inner]
        if not found:
            raise DataError(f"{folder} is a saved DatasetDict without any splits.")
        return _divided(found)
    files = _shards(folder)
    _refuse_several(folder, files)
    found = [
        TablePart(file, file.relative_to(folder).as_posix(), _split_of_shard(file, folder))
        for file in files
    ]
    return _divided(found)


def _is_saved(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` wrote a folder."""
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def _divided(found: Sequence[TablePart]) -> tuple[list[TablePart], list[str]]:
    """Those that are splits, if any are: on the Hub there may be others, such as "unsupervised"."""
    known = [part for part in found if part.split is not None]
    if not known or len(known) == len(found):
        return list(found), []
    left = [part.name for part in found if part.split is None]
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return known, [f"not read, because it is neither train, val nor test: {left[0]}{more}"]


def _shards(folder: Path) -> list[Path]:
    """The Parquet files of a folder, if that is what the folder is for.

    A table beside class folders of pictures may not be the data. So all tables must be named as
    shards or splits are, or there must be nothing else.
    """
    files = sorted(_files(folder, _DEEPEST))
    tables = [file for file in files if file.suffix.lower() == ".parquet"]
    if all(f.suffix.lower() in (".parquet", *_BESIDE) for f in files):
        return tables
    return tables if tables and all(_is_named(file, folder) for file in tables) else []


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # Reported when the folder is read.
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if not entry.is_dir():
            yield Path(entry.path)
        elif depth:
            yield from _files(Path(entry.path), depth - 1)


def _is_named(file: Path, folder: Path) -> bool:
    return _split_of_shard(file, folder) is not None or bool(_SHARD.fullmatch(file.stem))


def _split_of_shard(file: Path, folder: Path) -> str | None:
    """The split that a shard's name begins with, or the name of a folder that it lies in."""
    begin = re.split(r"[-_.]", file.stem, maxsplit=1)[0]
    inside = file.relative_to(folder).parts[:-1]
    return next((s for s in map(_split, (begin, *reversed(inside))) if s), None)


def _split(name: str) -> str | None:
    return SPLIT_NAMES.get(name.lower())


def _refuse_several(folder: Path, files: Sequence[Path]) -> None:
    """Raises:
    DataError: the files are of several configurations, which are tables of their own.
    """
    homes = {
        tuple(part for part in file.relative_to(folder).parts[:-1] if not _split(part))
        for file in files
    }
    if len(homes) > 1:
        names = sorted("/".join(home) or "." for home in homes)
        raise DataError(
            f"{folder} holds several tables: {', '.join(names)}.",
            hint=f"Give one of them: --dataset {folder / names[-1]}",
        )
