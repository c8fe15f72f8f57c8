"""A folder of text files: in class folders, or all of them as passages to model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mmft_core.contracts import Dataset, DatasetContext, DatasetInfo, Sample, Split
from mmft_core.data.class_folder_dataset import class_folder_dataset
from mmft_core.data.class_folders import FileKind
from mmft_core.data.labelled_files import LabelledFiles
from mmft_core.data.set_aside import set_aside
from mmft_core.data.splits import Indices, Subset, stratified
from mmft_core.errors import DataError, SampleError
from mmft_text.options import TextFolderOptions
from mmft_text.text_files import SUFFIXES, read_text, what_failed

_TEXTS = FileKind("text files", SUFFIXES)

PASSAGE = 2000
"""Characters of a passage that a long file is cut into for language modelling, at most."""


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
        files: (f,) of them.
        spans: (n, 4) int64: the file's index, the first byte, the end, and the line.
    """

    def __init__(self, files: Sequence[Path], spans: Indices) -> None:
        self.files, self.spans = tuple(files), spans

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
                text = stream.read(end - start).decode("utf-8")
        except UnicodeDecodeError as error:
            raise SampleError(sample_id, f"is not UTF-8 at byte {start + error.start}") from None
        except OSError as error:
            raise SampleError(sample_id, what_failed(error)) from None
        return Sample({"text": text}, None, sample_id)

    def sizes(self) -> Sequence[float]:
        return (self.spans[:, 2] - self.spans[:, 1]).tolist()  # type: ignore[no-any-return]


def build(options: TextFolderOptions, context: DatasetContext) -> Dataset:
    """Find the texts.

    Raises:
        DataError: the folder is missing or holds no texts, or too few classes.
    """
    shares = {"val": options.val, "test": options.test}
    if context.target == "class":
        return class_folder_dataset(options.path, _TEXTS, TextFiles, shares, context)
    root = Path(options.path).expanduser()
    files = [root] if root.is_file() else sorted(_files(root))
    spans = [(f, *span) for f, file in enumerate(files) for span in _passages(file)]
    if not spans:
        what = "does not exist" if not root.exists() else "holds no text files with text in them"
        raise DataError(f"{root} {what}.", hint=f"Expected files ending in {', '.join(SUFFIXES)}.")
    passages = Passages(files, np.array(spans, dtype=np.int64))
    # Whole files are set aside, for passages of one know of each other.
    of_file = passages.spans[:, 0]
    splits, notes = _by_file(passages, of_file, shares, context.seed)
    return Dataset(
        info=DatasetInfo(
            name=str(root),
            source=str(root),
            notes=(f"{len(files)} files in passages of at most {PASSAGE} characters", *notes),
        ),
        splits=splits,
    )


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path


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
                    blank = blank and not piece.strip()
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


def _by_file(
    passages: Passages, of_file: Indices, shares: dict[str, float], seed: int
) -> tuple[dict[str, Split], list[str]]:
    """Set whole files aside where there are enough of them, else passages."""
    files = len(passages.files)
    if files < 10:
        return set_aside(passages, np.zeros(len(passages), dtype=np.int64), shares, seed)
    chosen = stratified(np.zeros(files, dtype=np.int64), shares, seed)
    parts = {name: np.flatnonzero(np.isin(of_file, which)) for name, which in chosen.items()}
    splits: dict[str, Split] = {n: Subset(passages, rows) for n, rows in parts.items() if len(rows)}
    return splits, [
        f"set aside at random, by file: {' and '.join(n for n in splits if n != 'train')}"
    ]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # The check reports it.
        return 0
