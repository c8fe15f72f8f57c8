"""A folder of recordings: class folders, or a transcript beside each; train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmft_audio.audio_rows import AudioRows
from mmft_audio.dataset_options import AudioFolderOptions
from mmft_audio.recordings import RECORDINGS, SUFFIXES, Recording, check
from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Sample, Split
from mmft_core.data import Indices
from mmft_core.errors import DataError
from mmft_core.utils import some_suffixes
from mmft_datasets.class_folder_dataset import (
    ALL,
    class_folder_dataset,
    data_folder,
    passed_over,
    split_folders,
)
from mmft_datasets.class_folders import NoFilesError, PassedOver, gather
from mmft_datasets.labelled_files import LabelledFiles, pack
from mmft_datasets.set_aside import set_aside
from mmft_tables.row_files import NamedFiles

_LISTING = ".trans.txt"
"""How LibriSpeech names the file that lists the transcripts of a folder."""


class AudioFiles(LabelledFiles):
    """Recordings with a class each."""

    def recording(self, index: int) -> Recording:
        return Recording(self.path(index), id=self.sample_id(index))

    def __getitem__(self, index: int) -> Sample:
        recording = self.recording(index)
        return Sample({"audio": recording}, self.target(index), recording.id)

    def check(self, index: int) -> None:
        check(self.recording(index))

    def sizes(self) -> Sequence[float]:
        return AudioRows(NamedFiles(self.root, self.names)).sizes()


def build(options: AudioFolderOptions, context: DatasetContext) -> Dataset:
    """Find the recordings.

    Raises:
        DataError: the folder is missing, or holds no recordings or too few classes.
    """
    shares = {"val": options.val, "test": options.test}
    if context.target == "class":
        return class_folder_dataset(options.path, RECORDINGS, AudioFiles, shares, context)
    root = data_folder(options.path, RECORDINGS.noun)
    beside, inside = PassedOver(kind=RECORDINGS), PassedOver(kind=RECORDINGS)
    layout = split_folders(root, beside, classes=False)
    rows = {name: rows_of_folder(root, f, context, inside) for name, f in layout.items()}
    splits: dict[str, Split] = {name: split for name, split in rows.items() if len(split)}
    if not splits:
        raise NoFilesError(
            f"There are no recordings in {root}.",
            hint=f"Expected files ending in {some_suffixes(SUFFIXES)}.",
        )
    notes: list[str] = []
    if ALL in splits:
        whole = splits.pop(ALL)
        splits, notes = set_aside(whole, _one_class(whole), shares, context.seed)
    elif context.training and "train" not in splits:
        raise DataError(f"There is no train/ in {root}, only {', '.join(splits)}/.")
    elif "train" in splits and "val" not in splits and options.val:
        train = splits["train"]
        parts, notes = set_aside(train, _one_class(train), {"val": options.val}, context.seed)
        splits |= parts
    notes += passed_over([inside, beside])
    return Dataset(
        info=DatasetInfo(name=str(root), source=str(root), notes=tuple(notes)), splits=splits
    )


def _one_class(split: Split) -> Indices:
    return np.zeros(len(split), dtype=np.int64)


def rows_of_folder(
    root: Path, folder: Path, context: DatasetContext, passed: PassedOver | None = None
) -> AudioRows:
    """The recordings of a folder, at any depth, with their transcripts if these are wanted.

    Args:
        passed: takes what is not read.
    """
    files = gather(folder, root, passed or PassedOver(kind=RECORDINGS))
    named = NamedFiles(root, pack(files))
    if context.target == "none":
        return AudioRows(named)
    listed: dict[Path, dict[str, str]] = {}
    texts = [_transcript(root / file, listed) for file in files]
    return AudioRows(named, pa.chunked_array([texts], pa.string()))


def _transcript(file: Path, listed: dict[Path, dict[str, str]]) -> str:
    """What is said in a recording: from NAME.txt, or a listing of its folder; "" if nobody says.

    Args:
        listed: the listings that were read, by folder.
    """
    beside = file.with_suffix(".txt")
    if beside.is_file():
        return _read(beside).strip()
    if file.parent not in listed:
        lines = [
            line
            for listing in sorted(file.parent.glob(f"*{_LISTING}"))
            for line in _read(listing).splitlines()
        ]
        listed[file.parent] = {
            name: text for name, _, text in (line.partition(" ") for line in lines)
        }
    return listed[file.parent].get(file.stem, "")


def _read(file: Path) -> str:
    """Raises:
    DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 at byte {error.start}.") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
