"""The files that an argument names: a file, those in a folder, or those that match a pattern.

Hidden files and folders, such as `._photo.jpg`, `.git` and `__MACOSX`, are skipped and counted, as
in training. A hidden file that is named itself is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmft_core.data.tables import TABLE_SUFFIXES, is_table_folder
from mmft_core.errors import DataError, SampleError
from mmft_core.utils.files import suffix_of, user_path
from mmft_core.utils.folders import has_suffix, is_hidden, reading, some_suffixes

_LONGEST_NAME = 4096
_WILD = "*?["


@dataclass
class Hidden:
    """Hidden files and folders that were skipped; files only of the kind that is looked for."""

    files: int = 0
    folders: int = 0
    example: str = ""

    def add(self, path: Path, *, folder: bool = False) -> None:
        self.files += not folder
        self.folders += folder
        self.example = self.example or str(path)

    def __str__(self) -> str:
        """3 hidden files and 1 hidden folder, such as photos/._1.jpg; "" for none."""
        both = {"file": self.files, "folder": self.folders}
        told = [f"{n:,} hidden {noun}{'s' if n > 1 else ''}" for noun, n in both.items() if n]
        return f"{' and '.join(told)}, such as {self.example}" if told else ""


def named_files(
    argument: str, suffixes: tuple[str, ...], hidden: Hidden | None = None
) -> list[Path] | None:
    """The files that an argument names, sorted; None if it names nothing.

    Args:
        suffixes: of files to look for in folders; others are accepted if they are named, or match
            a pattern.
        hidden: counts what is skipped.

    Raises:
        DataError: it is a table, a folder without such files, or cannot be read.
    """
    hidden = Hidden() if hidden is None else hidden
    if not argument or len(argument) > _LONGEST_NAME or "\0" in argument:
        return None
    try:
        path = user_path(argument)
        if path.is_dir():
            return _in_folder(path, suffixes, hidden)
        if path.exists():
            _refuse_others(path, suffixes)
            return [path]
        is_pattern = any(c in argument for c in _WILD) and "\n" not in argument
        return (_matching(path, hidden) or None) if is_pattern else None
    except (OSError, ValueError):  # Text that is not a name, such as one that is too long.
        return None


def holds_any(argument: str, suffixes: tuple[str, ...]) -> bool:
    """Whether an argument names files with these suffixes."""
    try:
        found = named_files(argument, suffixes)
    except DataError:
        return False
    return any(file.suffix.lower() in suffixes for file in found or ())


def _in_folder(folder: Path, suffixes: tuple[str, ...], hidden: Hidden) -> list[Path]:
    with reading(folder):
        found = sorted(_walk(folder, suffixes, hidden))
    if not found and is_table_folder(folder):
        raise _table(folder)
    if not found:
        but = f", but {hidden}" if str(hidden) else ""
        wanted = f"no files ending in {some_suffixes(suffixes)}{but}"
        raise SampleError(str(folder), f"the folder holds {wanted}")
    return found


def _walk(
    folder: Path, suffixes: tuple[str, ...], hidden: Hidden, above: tuple[tuple[int, int], ...] = ()
) -> Iterator[Path]:
    """The files with these suffixes at any depth.

    Links are followed, except back to a folder that they lie in.
    """
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path, is_folder = folder / entry.name, entry.is_dir()
        if is_hidden(entry.name):
            if is_folder or has_suffix(entry, suffixes):
                hidden.add(path, folder=is_folder)
        elif is_folder:
            yield from _walk(path, suffixes, hidden, (*above, here))
        elif has_suffix(entry, suffixes):
            yield path


def _matching(pattern: Path, hidden: Hidden) -> list[Path]:
    """The files that match a pattern, whose first parts are names if such folders exist."""
    folder = Path(pattern.anchor)
    parts = list(pattern.relative_to(folder).parts)
    while parts and (folder / parts[0]).exists():
        folder /= parts.pop(0)
    dotted = any(part.startswith(".") for part in parts)
    found = []
    for path in sorted(folder.glob("/".join(parts))):
        if not path.is_file():
            continue
        if not dotted and any(map(is_hidden, path.relative_to(folder).parts)):
            hidden.add(path)
        else:
            found.append(path)
    return found


def _refuse_others(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raises:
    SampleError: it is a table, which would be read as a single text; or a device or a pipe.
    """
    form = suffix_of(path)
    if form in TABLE_SUFFIXES and form not in suffixes:
        raise _table(path)
    if not path.is_file():
        raise SampleError(
            str(path),
            "it is neither a file nor a folder",
            hint="`mmft predict RUN - < FILE` takes one file, or names, from standard input.",
        )


def _table(path: Path) -> SampleError:
    return SampleError(
        str(path),
        "it is a table, not a single input",
        hint="`mmft predict` and `mmft index` take the rows of a table: --dataset TABLE.",
    )
