"""Common Voice (Ardila et al., 2019) as it is downloaded: an archive of TSV tables and clips/."""

from __future__ import annotations

import re
from pathlib import Path

from mmft_audio.audio_table import table_rows
from mmft_audio.dataset_options import AudioTableOptions, CommonVoiceOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data import Grouped
from mmft_core.errors import DataError
from mmft_core.utils import user_path
from mmft_datasets.unpacking import unpacked
from mmft_tables.table_columns import texts_of
from mmft_tables.tables import Table

_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_TABLES = {"train": "train.tsv", "val": "dev.tsv", "test": "test.tsv"}


def build(options: CommonVoiceOptions, context: DatasetContext) -> Dataset:
    """Read the tables.

    Raises:
        DataError: the folder is none of Common Voice's, or a table cannot be read.
    """
    if not options.path:
        raise DataError(
            "The dataset common-voice needs a folder.", hint="Give --set dataset.path=FOLDER."
        )
    root = _language(user_path(options.path))
    splits: dict[str, Split] = {}
    warnings: list[str] = []
    for name, file in _TABLES.items():
        if (root / file).is_file():
            # As it is published, nothing in it is quoted.
            table = Table(root / file, separator="\t", quoted=False)
            splits[name] = _rows(table, root, context)
            warnings += table.warnings
    if not splits or (context.training and "train" not in splits):
        raise DataError(
            f"There is no {_TABLES['train']} in {root}.",
            hint="Give the folder of one language, which holds train.tsv and clips/.",
        )
    return Dataset(
        info=DatasetInfo(
            name=str(root),
            source="Common Voice (Ardila et al., 2019)",
            licence="CC0-1.0",
            warnings=tuple(warnings),
        ),
        splits=splits,
    )


def _language(path: Path) -> Path:
    """The folder of a language: the given one, or the only one in it or in its archive.

    Raises:
        DataError: there are several, or the archive is damaged.
        StorageError: there is too little room to unpack it.
    """
    if path.is_dir() and not _found(path):
        archives = [file for file in sorted(path.iterdir()) if file.name.endswith(_ARCHIVES)]
        path = archives[0] if len(archives) == 1 else path
    if path.is_file() and path.name.endswith(_ARCHIVES):
        path = unpacked(path, path.with_name(re.sub(r"\.(tar\.gz|tgz|tar)$", "", path.name)))
    found = _found(path)
    if len(found) > 1:
        raise DataError(
            f"{path} holds several languages: {', '.join(f.name for f in found)}.",
            hint=f"Give one of them: --set dataset.path={found[0]}",
        )
    return found[0] if found else path


def _found(path: Path) -> list[Path]:
    """The folders of languages in a folder: itself, or those below."""
    for pattern in ("*.tsv", "*/*.tsv", "*/*/*.tsv"):
        homes = {f.parent for f in path.glob(pattern) if f.name in _TABLES.values()}
        if homes:
            return sorted(homes)
    return []


def _rows(table: Table, root: Path, context: DatasetContext) -> Split:
    """One of the tables, whose files are in clips/, in groups by speaker."""
    options = AudioTableOptions(audio_column="path")
    rows, _, _ = table_rows(table, options, context, root / "clips")
    speaker = table.find_column(None, "group_column", ("client_id",))
    return rows if speaker is None else Grouped(rows, texts_of(table, speaker))
