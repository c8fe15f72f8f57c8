"""A folder of text files: in class folders, or all of them as passages to model."""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Origin, Sample, Split
from mmft_core.data import Indices
from mmft_core.errors import DataError, SampleError
from mmft_core.utils import some_suffixes, user_path
from mmft_datasets.class_folder_dataset import class_folder_dataset, passed_over
from mmft_datasets.class_folders import FileKind, NoFilesError, PassedOver, gather
from mmft_datasets.labelled_files import LabelledFiles, pack
from mmft_datasets.set_aside import set_aside
from mmft_text.options import TextFolderOptions
from mmft_text.text_files import SUFFIXES, read_text, what_failed

_TEXTS = FileKind("text files", SUFFIXES)

PASSAGE = 2000
"""Bytes of a passage that a long file is cut into for language modelling, at most."""

_FEWEST = 10
"""Files without which passages of one file may be in several splits."""


class TextFiles(LabelledFiles):
    """Text files with a class each."""

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.sample_id(index)
        text = read_text(self.path(index), sample_id)
        if not text.strip():
            raise SampleError(sample_id, "the file is empty")
        return Sample({"text": text}, self.target(index), sample_id)

    def sizes(self) -> Sequence[float]:
        return [_size(self.path(index)) for index in range(len(self))]


class Passages(Split):
    """Passages of text files, by where they lie in them.

    Args:
        root: the folder of all files, or the one file.
        files: (f,) of them.
        spans: (n, 4) int64: the file's index, the first byte, the end, and the line.
    """

    def __init__(self, root: Path, files: Sequence[Path], spans: Indices) -> None:
        self.root, self.files, self.spans = root, tuple(files), spans

    def __len__(self) -> int:
        return len(self.spans)

    def sample_id(self, index: int) -> str:
        file, _, _, line = self.spans[index]
        return f"{self.files[file]}:{line}"

    def __getitem__(self, index: int) -> Sample:
        file, start, end, _ = map(int, self.spans[index])
        sample_id = self.sample_id(index)
        try:
            with self.files[file].open("rb") as stream:
                stream.seek(start)
                # Only a file may begin with a byte order mark.
                text = stream.read(end - start).decode("utf-8" if start else "utf-8-sig")
        except UnicodeDecodeError as error:
            raise SampleError(sample_id, f"it is not UTF-8 at byte {start + error.start}") from None
        except OSError as error:
            raise SampleError(sample_id, what_failed(error)) from None
        return Sample({"text": text}, None, sample_id)

    def origin(self, index: int) -> Origin:
        file, *span = self.spans[index].tolist()
        name = self.files[file].relative_to(self.root)
        return Origin([os.fsencode(name), *span], (self.files[file],), inputs=span)

    def sizes(self) -> Sequence[float]:
        return (self.spans[:, 2] - self.spans[:, 1]).tolist()  # type: ignore[no-any-return]

    def groups(self) -> Sequence[str] | None:
        """The files, where there are enough of them to be set aside as wholes."""
        if len(self.files) < _FEWEST:
            return None
        return [str(self.files[file]) for file in self.spans[:, 0].tolist()]


def build(options: TextFolderOptions, context: DatasetContext) -> Dataset:
    """Find the texts.

    Raises:
        DataError: the folder is missing or holds no texts, or too few classes.
    """
    shares = {"val": options.val, "test": options.test}
    if context.target == "class":
        return class_folder_dataset(options.path, _TEXTS, TextFiles, shares, context)
    root = user_path(options.path)
    if context.learned == "class":
        return _to_be_classed(root, shares, context)
    passed = PassedOver(kind=_TEXTS)
    found = gather(root, root, passed) if root.is_dir() else [""] if root.is_file() else []
    files = [root / name for name in found]
    spans = [(f, *span) for f, file in enumerate(files) for span in _passages(file)]
    if not spans:
        what = "does not exist" if not root.exists() else "holds no text files with text in them"
        raise NoFilesError(
            f"{root} {what}.", hint=f"Expected files ending in {some_suffixes(SUFFIXES)}."
        )
    folder = root if root.is_dir() else root.parent
    passages = Passages(folder, files, np.array(spans, dtype=np.int64))
    none = np.zeros(len(passages), dtype=np.int64)
    splits, notes = set_aside(passages, none, shares, context.seed)
    return Dataset(
        info=DatasetInfo(
            name=str(root),
            source=str(root),
            notes=(
                f"{len(files)} files in passages of at most {PASSAGE} bytes",
                *notes,
                *passed_over([passed]),
            ),
        ),
        splits=splits,
    )


def _to_be_classed(root: Path, shares: Mapping[str, float], context: DatasetContext) -> Dataset:
    """Whole files, as a classifier has learned them: in class folders or without classes.

    Raises:
        DataError: there are none.
    """
    with contextlib.suppress(DataError):
        return class_folder_dataset(str(root), _TEXTS, TextFiles, shares, context)
    folder = root if root.is_dir() else root.parent
    found = gather(root, root, PassedOver(kind=_TEXTS)) if root.is_dir() else [root.name]
    names = sorted(found)
    if not names or not root.exists():
        raise DataError(
            f"{root} holds no text files.",
            hint=f"Expected files ending in {some_suffixes(SUFFIXES)}.",
        )
    whole = TextFiles(folder, pack(names), np.zeros(len(names), dtype=np.int64), ("",))
    return Dataset(info=DatasetInfo(name=str(root), source=str(root)), splits={"all": whole})


def _passages(file: Path) -> Iterator[tuple[int, int, int]]:
    """Cut a file at the ends of lines into (first byte, end, line) of passages.

    Raises:
        DataError: it cannot be read.
    """
    start = at = 0
    first = line = 1
    blank = True
    try:
        with file.open("rb") as stream:
            for text in stream:
                for piece in _pieces(text):
                    if at > start and at + len(piece) - start > PASSAGE:
                        if not blank:
                            yield start, at, first
                        start, first, blank = at, line, True
                    at += len(piece)
                    blank = blank and not piece.removeprefix(codecs.BOM_UTF8).strip()
                line += 1
    except OSError as error:
        raise DataError(f"{file}: {what_failed(error)}.") from None
    if at > start and not blank:
        yield start, at, first


def _pieces(line: bytes) -> Iterator[bytes]:
    """Cut a line that is longer than a passage, between characters."""
    start = 0
    while len(line) - start > PASSAGE:
        end = start + PASSAGE
        while end > start + 1 and 0x80 <= line[end] < 0xC0:  # Inside a character of UTF-8.
            end -= 1
        yield line[start:end]
        start = end
    yield line[start:]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # The check reports it.
        return 0
