"""The files in a folder of class folders: a million of them in little time and memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmft_core.data.labelled_files import pack
from mmft_core.data.names import composed
from mmft_core.errors import DataError
from mmft_core.files import printable

_CHUNK = 10_000
"""So many names at a time are Python strings; after that they are packed."""

_SUFFIXES = 5
"""So many suffixes of files that are passed over are named."""


@dataclass(frozen=True)
class FileKind:
    """What is looked for.

    Attributes:
        noun: "pictures".
        suffixes: of their files.
        unread: suffixes of pictures in formats that are not read. They are found all the same, for
            the check to report.
    """

    noun: str
    suffixes: tuple[str, ...]
    unread: tuple[str, ...] = ()

    def holds(self, entry: os.DirEntry[str]) -> bool:
        """By the suffix; a broken link is left for the check to report. Pipes would hang."""
        if not entry.name.lower().endswith(self.suffixes + self.unread):
            return False
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())


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


@dataclass
class ClassFolders:
    """What lies in a folder of class folders.

    Attributes:
        folder: it.
        by_class: class -> the packed names of its files, sorted, relative to the data's root. A
            class is a folder's name in composed Unicode (NFC); archives of other systems have the
            same name in another form.
        renamed: folders whose names were in another form.
        loose: files of the kind beside the class folders.
        others: files that are not of the kind by their suffix.
    """

    folder: Path
    kind: FileKind
    by_class: dict[str, pa.LargeBinaryArray] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)
    loose: Tally = field(default_factory=Tally)
    others: Tally = field(default_factory=Tally)


def scan(folder: Path, root: Path, kind: FileKind) -> ClassFolders:
    """Find the files of each class, at any depth below its folder. Hidden files do not count.

    Args:
        root: `folder` or one above it, that names shall be relative to.

    Raises:
        DataError: there are no such files, or some without a class; or a folder cannot be read.
    """
    found = ClassFolders(folder, kind)
    prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    with reading(folder):
        classes = []
        for entry in visible(folder):
            if entry.is_dir():
                classes.append(entry.name)
            else:
                (found.loose if kind.holds(entry) else found.others).add(entry.name)
        for name in sorted(classes):
            files = _pack_sorted(_files(folder / name, f"{prefix}{name}/", kind, found.others))
            label = composed(name)
            if label != name:
                found.renamed.append(name)
            known = found.by_class.get(label)
            found.by_class[label] = files if known is None else pa.concat_arrays([known, files])
    _check(found)
    return found


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what goes wrong in reading folders into a DataError that names the folder."""
    try:
        yield
    except OSError as error:
        place = printable(os.fspath(error.filename or folder))
        raise DataError(f"{place} cannot be read: {error.strerror}.") from None


def visible(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, in no order."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


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


def _files(
    folder: Path | str,
    prefix: str,
    kind: FileKind,
    others: Tally,
    above: tuple[tuple[int, int], ...] = (),
) -> Iterator[str]:
    """Walk a class folder, yielding prefixed names of files and counting what else there is."""
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise DataError(
            f"The link {folder} leads back to a folder that it lies in.", hint="Remove it."
        )
    for entry in visible(folder):
        if entry.is_dir():
            yield from _files(entry.path, f"{prefix}{entry.name}/", kind, others, (*above, here))
        elif kind.holds(entry):
            yield prefix + entry.name
        else:
            others.add(prefix + entry.name)


def _pack_sorted(names: Iterator[str]) -> pa.LargeBinaryArray:
    chunks = []
    while chunk := list(islice(names, _CHUNK)):
        chunks.append(pack(chunk))
    packed = pa.concat_arrays(chunks or [pack(())])
    return packed.take(pc.array_sort_indices(packed))


def _check(found: ClassFolders) -> None:
    folder, loose, noun = found.folder, found.loose, found.kind.noun
    suffixes = ", ".join(found.kind.suffixes)
    if not any(len(names) for names in found.by_class.values()):
        why = f"; {loose.count} lie in it without a class" if loose.count else ""
        if found.others.count:
            why += f"; there are other files: {found.others.by_suffix()}"
        if not (found.by_class or loose.count or found.others.count):
            why = ": it is empty"
        raise DataError(
            f"There are no {noun} in class folders in {folder}{why}.",
            hint=f"Expected {folder}/CLASS/NAME with NAME ending in {suffixes}; "
            "where a table says what is of which class, give that as --dataset.",
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
