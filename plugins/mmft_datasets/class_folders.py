"""The files in a folder of class folders: a million of them in little time and memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.errors import DataError
from mmft_core.utils import has_suffix, is_hidden, printable, reading, some_suffixes
from mmft_datasets.hidden import hidden_files, is_usual
from mmft_datasets.labelled_files import pack
from mmft_datasets.names import composed

_CHUNK = 10_000
"""Names that are Python strings at a time; then they are packed."""

_SUFFIXES = 5
"""Suffixes of skipped files that are named."""


class NoFilesError(DataError):
    """A folder holds no files of a kind; it may be meant for others."""


@dataclass(frozen=True)
class FileKind:
    """What is looked for.

    Attributes:
        noun: what several are called: "pictures".
        suffixes: of their files, in lower case.
        unread: suffixes of pictures in formats that are not read. They are found anyway, so that
            the check reports them.
        one: what one is called: "image".
        is_one: whether a file that a table holds (a `HeldFile`) is one.
    """

    noun: str
    suffixes: tuple[str, ...]
    unread: tuple[str, ...] = ()
    one: str = "file"
    is_one: Callable[[Any], bool] = lambda file: True

    def holds(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry of a folder is one, by its suffix."""
        return has_suffix(entry, self.suffixes + self.unread)


@dataclass
class Tally:
    """How many files there are of some kind by suffix, and one of them for the message."""

    suffixes: Counter[str] = field(default_factory=Counter)
    example: str = ""

    @property
    def count(self) -> int:
        return self.suffixes.total()

    def add(self, name: str) -> None:
        self.suffixes[printable(Path(name).suffix.lower()) or "no suffix"] += 1
        self.example = min(self.example or name, name)

    def by_suffix(self) -> str:
        """The numbers in words: "40 .heic, 2 .txt"."""
        common = self.suffixes.most_common(_SUFFIXES)
        rest = self.count - sum(number for _, number in common)
        told = [f"{number:,} {suffix}" for suffix, number in common]
        return ", ".join([*told, f"{rest:,} others"] if rest else told)


@dataclass(kw_only=True)
class PassedOver:
    """What in a folder is not read.

    Attributes:
        others: files that are not of the kind by their suffix.
        hidden: files of the kind that are hidden, or in hidden folders.
        beside: files beside the folders of splits.
    """

    kind: FileKind
    others: Tally = field(default_factory=Tally)
    hidden: Tally = field(default_factory=Tally)
    beside: Tally = field(default_factory=Tally)


@dataclass(kw_only=True)
class ClassFolders(PassedOver):
    """What lies in a folder of class folders.

    Attributes:
        folder: that folder.
        by_class: class -> the packed names of its files, sorted, relative to the data's root. A
            class is a folder's name in composed Unicode (NFC); archives of other systems have the
            same name in another form.
        renamed: folders whose names were in another form.
        loose: files of the kind beside the class folders.
    """

    folder: Path
    by_class: dict[str, pa.LargeBinaryArray] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)
    loose: Tally = field(default_factory=Tally)


def scan(folder: Path, root: Path, kind: FileKind) -> ClassFolders:
    """Find the files of each class, at any depth below its folder. Hidden files do not count.

    Args:
        root: `folder` or one above it; names are relative to it.

    Raises:
        DataError: there are no such files, or some without a class; or a folder cannot be read,
            or is hidden though it looks like a class.
    """
    found = ClassFolders(folder=folder, kind=kind)
    prefix = _prefix(folder, root)
    with reading(folder):
        classes = []
        for entry in visible_folders(folder, prefix, found):
            if entry.is_dir():
                classes.append(entry.name)
            else:
                (found.loose if kind.holds(entry) else found.others).add(prefix + entry.name)
        for name in sorted(classes):
            names = _files(folder / name, f"{prefix}{name}/", found, (_identity(folder),))
            files, label = _pack_sorted(names), composed(name)
            if label != name:
                found.renamed.append(name)
            known = found.by_class.get(label)
            found.by_class[label] = files if known is None else pa.concat_arrays([known, files])
    _check(found)
    return found


def gather(folder: Path, root: Path, passed: PassedOver) -> list[str]:
    """The files of a kind in a folder, at any depth, whatever folders they are in.

    Args:
        root: `folder` or one above it; names are relative to it.
        passed: takes what is not read.

    Returns:
        names, folder by folder.

    Raises:
        DataError: a folder cannot be read.
    """
    with reading(folder):
        return sorted(_files(folder, _prefix(folder, root), passed), key=lambda n: n.split("/"))


def _prefix(folder: Path, root: Path) -> str:
    return "" if folder == root else f"{folder.relative_to(root).as_posix()}/"


def visible(
    folder: Path | str, prefix: str = "", passed: PassedOver | None = None
) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, in no order.

    Args:
        prefix: of names in messages.
        passed: takes the files of the kind that are hidden.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_hidden(entry.name):
                yield entry
            elif passed is not None:
                for name in hidden_files(entry, prefix, passed.kind.holds):
                    passed.hidden.add(name)


def visible_folders(folder: Path, prefix: str, passed: PassedOver) -> Iterator[os.DirEntry[str]]:
    """`visible` for a folder whose folders are classes or splits.

    Raises:
        DataError: one of them is hidden, is not of a kind that programs make, and holds files that
            would be missing from the data.
    """
    with os.scandir(folder) as entries:
        strange = [entry for entry in entries if entry.is_dir() and not is_usual(entry.name)]
    for entry in sorted(strange, key=lambda entry: entry.name):
        lost = list(hidden_files(entry, prefix, passed.kind.holds))
        if lost:
            raise DataError(
                f"The folder {folder / printable(entry.name)} is hidden, because its name begins "
                f"with a dot, but holds {len(lost)} {passed.kind.noun}.",
                hint="Rename it if it is a class; otherwise move it elsewhere.",
            )
    yield from visible(folder, prefix, passed)


def check_classes(
    scans: Mapping[str, ClassFolders], root: Path, train: str, *, unseen: bool = False
) -> None:
    """Check that there is something to learn, and nothing in val and test that is not learned.

    Args:
        train: the key of the scan that is to be learned from.
        unseen: whether val and test may hold other classes.

    Raises:
        DataError: there is one class only, or one without files or missing from train.
    """
    for name, found in scans.items():
        for label, names in found.by_class.items():
            if not len(names):
                raise DataError(
                    f"The class folder {found.folder / label} holds no {found.kind.noun}.",
                    hint="Fill or remove it.",
                )
        missing = sorted(found.by_class.keys() - scans[train].by_class.keys())
        if missing and not unseen:
            raise DataError(
                f"Class '{missing[0]}' is in {name}/ but not in {train}/"
                + (f", nor are {len(missing) - 1} more." if missing[1:] else "."),
                hint=f"Add {found.kind.noun} of it to {train}/, or remove it.",
            )
    classes = list(scans[train].by_class)
    if len(classes) == 1:
        raise DataError(
            f"{root} has one class only, '{classes[0]}'; there is nothing to tell apart.",
            hint=f"Give a folder with a folder of {scans[train].kind.noun} for each of two classes "
            "or more.",
        )


_Identity: TypeAlias = tuple[int, int]


def _identity(folder: Path | str) -> _Identity:
    status = Path(folder).stat()
    return status.st_dev, status.st_ino


def _files(
    folder: Path | str, prefix: str, passed: PassedOver, above: tuple[_Identity, ...] = ()
) -> Iterator[str]:
    """Walk a folder, yielding prefixed names of files and counting what else there is."""
    here = _identity(folder)
    if here in above:
        raise DataError(
            f"The link {folder} leads back to a folder that it lies in.", hint="Remove it."
        )
    for entry in visible(folder, prefix, passed):
        if entry.is_dir():
            yield from _files(entry.path, f"{prefix}{entry.name}/", passed, (*above, here))
        elif passed.kind.holds(entry):
            yield prefix + entry.name
        else:
            passed.others.add(prefix + entry.name)


def _pack_sorted(names: Iterator[str]) -> pa.LargeBinaryArray:
    chunks = []
    while chunk := list(islice(names, _CHUNK)):
        chunks.append(pack(chunk))
    packed = pa.concat_arrays(chunks or [pack(())])
    return packed.take(pc.array_sort_indices(packed))


def _check(found: ClassFolders) -> None:
    folder, loose, noun = found.folder, found.loose, found.kind.noun
    if not any(len(names) for names in found.by_class.values()):
        why = f"; {loose.count} lie in it without a class" if loose.count else ""
        if found.others.count:
            why += f"; there are other files: {found.others.by_suffix()}"
        if not (found.by_class or loose.count or found.others.count):
            why = ": it is empty"
        raise NoFilesError(
            f"There are no {noun} in class folders in {folder}{why}.",
            hint=f"Expected {folder}/CLASS/NAME with NAME ending in "
            f"{some_suffixes(found.kind.suffixes)}; if a table says which class each file has, "
            "give that as --dataset.",
        )
    if loose.count:
        raise DataError(
            f"{loose.count} {noun} in {folder} lie outside the class folders, "
            f"such as {printable(loose.example)}.",
            hint="Move each into the folder of its class.",
        )
    for name in found.by_class:
        if name != printable(name):
            raise DataError(
                f"The name of the class folder {folder / printable(name)} is not UTF-8.",
                hint="Rename it.",
            )
