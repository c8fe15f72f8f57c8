"""Common Voice (Ardila et al., 2019) as it is downloaded: TSV tables and clips/."""

from __future__ import annotations

from pathlib import Path

from mmft_audio.audio_table import table_rows
from mmft_audio.dataset_options import AudioTableOptions, CommonVoiceOptions
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Split
from mmft_core.data.splits import Grouped
from mmft_core.data.table_columns import texts_of
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


def _rows(table: Table, root: Path, context: DatasetContext) -> Split:
    """One of the tables, whose files are in clips/, in groups by speaker."""
    options = AudioTableOptions(audio_column="path")
    rows, _, _ = table_rows(table, options, context, root / "clips")
    speaker = table.find_column(None, "group_column", ("client_id",))
    return rows if speaker is None else Grouped(rows, texts_of(table, speaker))
