"""What a user points at to have it predicted: files, folders, patterns, and texts as typed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mmft_core.contracts import Processor, Sample, Split
from mmft_core.data.table_files import SUFFIXES as TABLES
from mmft_core.errors import DataError
from mmft_core.files import suffix_of

Source: TypeAlias = Path | str
"""A file, or a text as it was typed."""

_LONGEST_NAME = 4096


class Sources(Split):
    """Files and typed texts as a split without targets."""

    def __init__(self, modality: str, sources: Sequence[Source], processor: Processor) -> None:
        self.modality, self.sources, self.processor = modality, tuple(sources), processor

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Sample:
        return Sample({self.modality: self._raw(self.sources[index])}, None, self.sample_id(index))

    def sample_id(self, index: int) -> str:
        return str(self.sources[index])

    def _raw(self, source: Source) -> Any:
        return (
            self.processor.parse(source)
            if isinstance(source, str)
            else (self.processor.read(source))
        )


def expand(arguments: Iterable[str], processor: Processor) -> Iterator[Source]:
    """Turn files, folders (searched at any depth), glob patterns and texts into sources.

    Raises:
        DataError: one names nothing that can be read.
    """
    for argument in arguments:
        found = _files(argument, processor.suffixes) if processor.suffixes else None
        if found is not None:
            yield from found
        elif _is_text(argument, processor):
            yield argument
        elif processor.suffixes:
            raise DataError(f"{argument}: found no such file or folder.")
        else:
            raise DataError(
                f"{argument}: the model reads no files.", hint="Give a table by --dataset TABLE."
            )


def assign(
    arguments: Iterable[str], processors: Mapping[str, Processor]
) -> Iterator[tuple[str, Source]]:
    """Turn arguments into sources, each of the first modality that can read it.

    Raises:
        DataError: one names nothing that any can read.
    """
    if len(processors) == 1:
        ((modality, processor),) = processors.items()
        yield from ((modality, source) for source in expand(arguments, processor))
        return
    for argument in arguments:
        readers = [m for m, processor in processors.items() if _reads(argument, processor)]
        if not readers:
            raise DataError(
                f"{argument}: found no such file or folder that a model of "
                f"{' and '.join(processors)} reads."
            )
        yield from ((readers[0], s) for s in expand([argument], processors[readers[0]]))


def _reads(argument: str, processor: Processor) -> bool:
    path = Path(argument).expanduser()
    if len(argument) <= _LONGEST_NAME and "\0" not in argument and path.exists():
        files = path.rglob("*") if path.is_dir() else [path]
        return any(file.suffix.lower() in processor.suffixes for file in files)
    if any(c in argument for c in "*?[") and path.suffix.lower() in processor.suffixes:
        return True
    return _is_text(argument, processor)


def typed(stream: Iterable[str], processor: Processor) -> Iterator[Source]:
    """Turn lines into sources as they come: texts where the model reads texts, else file names.

    Raises:
        DataError: what comes is not text.
    """
    try:
        for line in stream:
            text = line.rstrip("\r\n")
            yield text if processor.parse(text) is not None else Path(text)
    except UnicodeDecodeError as error:
        raise DataError(f"Standard input is not {error.encoding}: {error.reason}.") from None


def _files(argument: str, suffixes: tuple[str, ...]) -> list[Path] | None:
    """The files that an argument names; None if it names nothing."""
    if not argument or len(argument) > _LONGEST_NAME or "\0" in argument or "\n" in argument:
        return None
    try:
        path = Path(argument).expanduser()
        if path.is_file():
            _refuse_table(path, suffixes)
            return [path]
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in suffixes]
            if not found:
                wanted = ", ".join(suffixes)
                raise DataError(f"{argument}: found no files ending in {wanted} in this folder.")
            return found
        if any(c in argument for c in "*?["):
            anchor = Path(path.anchor) if path.anchor else Path()
            pattern = str(path.relative_to(path.anchor) if path.anchor else path)
            return [p for p in sorted(anchor.glob(pattern)) if p.is_file()] or None
    except (OSError, ValueError, RuntimeError):  # Text that is no name: too long, no such user.
        pass
    return None


def _refuse_table(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raises:
    DataError: this is a table, which would be read as one text, and nobody wants that.
    """
    form = suffix_of(path)
    if form in TABLES and form not in suffixes:
        raise DataError(
            f"{path} is a table, and not a single input.",
            hint=f"`mmft predict` and `mmft index` take its rows: --dataset {path}.",
        )


def _is_text(argument: str, processor: Processor) -> bool:
    """Whether an argument is an input itself, and not the name of a file that is not there."""
    mistyped = Path(argument).suffix.lower() in processor.suffixes and " " not in argument
    return not mistyped and processor.parse(argument) is not None
