"""Common Voice (Ardila et al., 2019) as it is downloaded: TSV tables and clips/."""

from __future__ import annotations

from pathlib import Path

from mmft_audio.audio_rows import AudioRows
from mmft_audio.audio_table import table_rows
from mmft_audio.dataset_options import AudioTableOptions, CommonVoiceOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data.tables import Table
from mmft_core.errors import DataError

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
    root = Path(options.path).expanduser()
    splits: dict[str, Split] = {}
    for name, table in _TABLES.items():
        if (root / table).is_file():
            splits[name] = _rows(root, table, context)
    if not splits or (context.training and "train" not in splits):
        raise DataError(
            f"There is no {_TABLES['train']} in {root}.",
            hint="Give the folder of one language, which holds train.tsv and clips/.",
        )
    return Dataset(
        info=DatasetInfo(
            name=str(root), source="Common Voice (Ardila et al., 2019)", licence="CC0-1.0"
        ),
        splits=splits,
    )


def _rows(root: Path, table: str, context: DatasetContext) -> AudioRows:
    """One of the tables, whose files are in clips/."""
    options = AudioTableOptions(audio_column="path")
    rows, _, _ = table_rows(Table(root / table), options, context, root / "clips")
    return rows
