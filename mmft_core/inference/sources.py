"""What a user gives to be predicted: files, folders, patterns, addresses, and texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mmft_core.contracts import Attaching, Processor, Sample, Split
from mmft_core.errors import DataError, SampleError, first_line
from mmft_core.inference.downloads import Limits, Remote, is_url, url_suffix
from mmft_core.inference.named import Hidden, holds_any, named_files
from mmft_core.plugin_errors import with_article
from mmft_core.utils.folders import some_suffixes

MISSING = "there is no such file or folder"
"""The reason for a `SampleError` of what is not there."""


@dataclass(frozen=True)
class Piped:
    """A file that came by standard input, with the name that messages use."""

    path: Path
    name: str = "-"

    def __str__(self) -> str:
        return self.name

    def fetch(self, suffixes: tuple[str, ...]) -> Path:
        return self.path


@dataclass(frozen=True)
class Given:
    """A raw input that a program holds."""

    raw: Any
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Unusable:
    """An argument that names nothing that can be read; reading it raises the reason."""

    name: str
    error: DataError

    def __str__(self) -> str:
        return self.name

    def fetch(self, suffixes: tuple[str, ...]) -> Path:
        known = isinstance(self.error, SampleError)
        raise self.error if known else SampleError(self.name, first_line(self.error))


Source: TypeAlias = Path | Remote | Piped | Given | Unusable | str
"""A file, an address to download from, standard input, what a program holds, what cannot be used,
or a text as it was typed."""


class Sources(Split):
    """Files and typed texts as a split without targets.

    Args:
        attached: files that belong to each of them, if the processor is `Attaching`.
    """

    def __init__(
        self,
        modality: str,
        sources: Sequence[Source],
        processor: Processor,
        attached: Sequence[Path] = (),
    ) -> None:
        self.modality, self.sources, self.processor = modality, tuple(sources), processor
        self.attached = tuple(attached)
        self._tried: set[type] = set()

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Sample:
        try:
            raw = self._raw(self.sources[index])
            if self.attached and isinstance(self.processor, Attaching):
                raw = self.processor.attach(raw, self.attached)
        except (OSError, ValueError) as error:  # A name that no file could have.
            raise SampleError(self.sample_id(index), f"it cannot be read: {error}") from None
        return Sample({self.modality: raw}, None, self.sample_id(index))

    def sample_id(self, index: int) -> str:
        return str(self.sources[index])

    def _raw(self, source: Source) -> Any:
        if isinstance(source, str):
            return self.processor.parse(source)
        if isinstance(source, Given):
            return self._given(source)
        file = source if isinstance(source, Path) else source.fetch(self.processor.suffixes)
        return self.processor.read(file)

    def _given(self, source: Given) -> Any:
        """Raises:
        SampleError: this modality has no such raw inputs.
        """
        kind = type(source.raw)
        if kind not in self._tried:
            try:  # Only the processor knows; what it raises about something else may be anything.
                self.processor.prepare(source.raw, train=False)
            except (AttributeError, TypeError, KeyError, IndexError) as error:
                what = with_article(kind.__name__)
                raise SampleError(
                    source.name, f"the model cannot read {what} ({first_line(error)})"
                ) from None
            self._tried.add(kind)
        return source.raw


def expand(
    arguments: Iterable[str],
    processor: Processor,
    limits: Limits | None = None,
    hidden: Hidden | None = None,
) -> Iterator[Source]:
    """Turn files, folders (searched at any depth), glob patterns, addresses and texts into sources.

    One that names nothing that can be read is `Unusable`.

    Args:
        limits: of what is fetched; None if nothing is.
        hidden: counts hidden files and folders, which are skipped.
    """
    for argument in arguments:
        try:
            yield from _named(local_path(argument), processor, limits, hidden)
        except DataError as error:
            yield Unusable(argument, error)


def _named(
    argument: str, processor: Processor, limits: Limits | None, hidden: Hidden | None
) -> Sequence[Source]:
    """Raises:
    DataError: it names nothing that can be read.
    """
    found = named_files(argument, processor.suffixes, hidden) if processor.suffixes else None
    if found is not None:
        return found
    if _is_address(argument, processor):
        return [_remote(argument, limits)]
    if _is_text(argument, processor):
        return [argument]
    if processor.suffixes:
        raise SampleError(argument, MISSING)
    raise SampleError(argument, "the model reads no files", hint="Give a table by --dataset TABLE.")


def assign(
    arguments: Iterable[str],
    processors: Mapping[str, Processor],
    limits: Limits | None = None,
    hidden: Hidden | None = None,
) -> Iterator[tuple[str, Source]]:
    """Turn arguments into sources, each of the first modality that can read it.

    One that no modality can read is `Unusable`, and of the first modality.
    """
    if len(processors) == 1:
        ((modality, processor),) = processors.items()
        yield from ((modality, s) for s in expand(arguments, processor, limits, hidden))
        return
    for argument in arguments:
        try:
            readers = _readers(local_path(argument), processors)
        except DataError:  # `expand` raises it again.
            readers = list(processors)
        if readers:
            found = expand([argument], processors[readers[0]], limits, hidden)
            yield from ((readers[0], source) for source in found)
        else:
            reason = f"{MISSING} that a model of {' and '.join(processors)} reads"
            yield next(iter(processors)), Unusable(argument, SampleError(argument, reason))


def typed(
    stream: Iterable[str], processor: Processor, limits: Limits | None = None
) -> Iterator[Source]:
    """Turn lines into sources as they come: texts where the model reads texts, else files.

    A blank line is an empty text, or is skipped if the model reads no texts. Bytes that are not
    UTF-8 may be a file's name; `stream` holds them as `os.fsdecode` does.

    Raises:
        DataError: what comes is not text, or holds a NUL character.
    """
    empty = True
    for number, line in enumerate(stream, start=1):
        text = line.rstrip("\r\n").removeprefix("\ufeff")  # A byte order mark is no text.
        source = _typed(text, number, processor, limits)
        if source is not None:
            empty = False
            yield source
    if empty:
        raise DataError("Standard input is empty.")


def _typed(text: str, number: int, processor: Processor, limits: Limits | None) -> Source | None:
    """The source of a line; None if it is blank and the model reads no texts."""
    readable = text == text.encode("utf-8", "replace").decode("utf-8")
    if readable and "\0" in text:
        raise DataError(
            f"Standard input holds a NUL character in line {number}.",
            hint="Give one input per line. Where NUL characters separate inputs, as in what "
            r"`find -print0` writes, put `tr '\0' '\n'` in between.",
        )
    if readable and processor.parse(text) is not None:
        return text
    if not readable and not (takes_names(processor) and _is_file(text)):
        wanted = f"a file of {some_suffixes(processor.suffixes)}, or " if processor.suffixes else ""
        raise DataError(
            f"Standard input is not UTF-8 in line {number}.",
            hint=f"Give {wanted}text in UTF-8, one input per line.",
        )
    if not text.strip():
        return None
    try:
        name = local_path(text)
        return _remote(name, limits) if is_url(name) else Path(name)
    except SampleError as error:
        return Unusable(text, error)


def local_path(argument: str) -> str:
    """The path of a `file://` address; anything else as it is.

    Raises:
        SampleError: the address is of another machine.
    """
    if not argument.lower().startswith("file://"):
        return argument
    parts = urlsplit(argument)
    if parts.hostname not in (None, "localhost"):
        raise SampleError(
            argument,
            f"it is on the machine {parts.hostname}",
            hint="Files of this machine are file:///FOLDER/NAME.",
        )
    return url2pathname(parts.path)


def _remote(url: str, limits: Limits | None) -> Remote:
    if limits is None:
        raise SampleError(
            url, "only files on this machine are accepted", hint="Download it, and give the file."
        )
    return Remote(url, limits)


def _is_address(argument: str, processor: Processor) -> bool:
    """Whether to fetch an argument; for a model that reads texts most addresses are texts."""
    if not is_url(argument) or not processor.suffixes:
        return False
    return url_suffix(argument) in processor.suffixes or processor.parse(argument) is None


def takes_names(processor: Processor) -> bool:
    """Whether it reads files but no texts, so that a line is a file's name."""
    return bool(processor.suffixes) and processor.parse("a text") is None


def _readers(argument: str, processors: Mapping[str, Processor]) -> list[str]:
    """The modalities that read an argument, the likeliest first."""
    fetching = [m for m, processor in processors.items() if _is_address(argument, processor)]
    if fetching:
        suffix = url_suffix(argument)
        return sorted(fetching, key=lambda m: suffix not in processors[m].suffixes)
    return [m for m, processor in processors.items() if _reads(argument, processor)]


def _reads(argument: str, processor: Processor) -> bool:
    if processor.suffixes and holds_any(argument, processor.suffixes):
        return True
    if _exists(argument):
        return False
    if any(c in argument for c in "*?[") and _suffix(argument) in processor.suffixes:
        return True
    return _is_text(argument, processor)


def _is_text(argument: str, processor: Processor) -> bool:
    """Whether an argument is itself the input, rather than the name of a missing file."""
    mistyped = _suffix(argument) in processor.suffixes and " " not in argument
    return not mistyped and processor.parse(argument) is not None


def _suffix(argument: str) -> str:
    return Path(argument).suffix.lower()


def _exists(name: str) -> bool:
    try:
        return os.path.lexists(os.path.expanduser(name))  # noqa: PTH111
    except (OSError, ValueError):
        return False


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False
