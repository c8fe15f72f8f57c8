"""Writing files so that no reader ever sees half of one, even if the process is killed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mmft_core.errors import RunDirectoryError, StorageError

T = TypeVar("T")


@contextlib.contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into StorageError.

    safetensors wraps them in an exception of its own, with the message alone.
    """
    try:
        yield
    except OSError as error:
        raise _storage_error(error.errno, error.strerror or str(error), place) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        number = re.search(r"os error (\d+)", str(error))
        raise _storage_error(int(number[1]) if number else None, str(error), place) from error


def _storage_error(number: int | None, reason: str, place: Path) -> StorageError:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            f"No space is left to write {place}.",
            hint="Free some, or choose another place; --resume continues a run.",
        )
    return StorageError(
        f"{place} cannot be written: {reason}.", hint="Choose another place for it."
    )


def ensure_new(path: Path) -> None:
    """Check that a file or folder may be made.

    Raises:
        RunDirectoryError: there is something there already.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise RunDirectoryError(f"{path} exists already.", hint="Give --output another name.")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` that takes its place once it is wholly on disk.

    Raises:
        StorageError: it cannot be written.
    """
    temporary: Path | None = None
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            temporary = Path(name)
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~umask())
            temporary.replace(path)
            _sync(path.parent)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of `path` once it is wholly on disk.

    A process that is killed between the two renames leaves no `path`, never half of one.
    """
    with storage_errors(path):
        made = [parent for parent in path.absolute().parents if not parent.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                _sync(file)
                if file.is_file() and not file.is_symlink():  # Some libraries write for the owner.
                    executable = file.stat().st_mode & 0o111
                    file.chmod((0o666 | executable) & ~umask())
            temporary.chmod(0o777 & ~umask())
            aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            if path.exists():  # Moved as a whole, because removing it takes a while.
                path.replace(aside)
            temporary.replace(path)
            _sync(path.parent)
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            for parent in made:
                with contextlib.suppress(OSError):
                    parent.rmdir()  # Only possible if nothing came of it.


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    with replacing(path) as temporary:
        # A file's name need not be UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file as a whole or not at all."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(
    value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> str:
    """A value as JSON. JSON has no NaN and no infinity (RFC 8259), so these are null."""
    write = partial(json.dumps, indent=indent, default=default, ensure_ascii=False, allow_nan=False)
    try:
        return write(value)
    except ValueError:
        return write(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def read_record(path: Path) -> dict[str, Any]:
    """Read what a run wrote as JSON.

    Raises:
        RunDirectoryError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(path, str(error)) from None
    if not isinstance(content, dict):
        raise unreadable(path, "it holds no table")
    return content


def read_as(kind: type[T], told: Any, path: Path) -> T:
    """What a run's file says of something, as a dataclass.

    Raises:
        RunDirectoryError: it says something else.
    """
    try:
        kind(**told)  # Which refuses unknown names.
        return msgspec.convert(told, kind)
    except (TypeError, ValueError) as error:
        raise unreadable(path, str(error)) from None


def unreadable(path: Path, reason: str) -> RunDirectoryError:
    """The error for a run's file whose content is not what was written."""
    return RunDirectoryError(
        f"{path} cannot be read: {reason}.",
        hint="It is damaged, or was changed by hand: take it from a copy, or repeat the run.",
    )


def stamp(path: Path) -> bytes:
    """A key that changes when a file does, from its path, size and time of change.

    Raises:
        OSError: there is no such file.
    """
    found = path.stat()
    return f"{path.absolute()}|{found.st_size}|{found.st_mtime_ns}".encode(errors="surrogateescape")


def temporaries(folder: Path) -> list[Path]:
    """What killed processes left of `replacing` and `replacing_folder`."""
    return list(folder.glob(".*.????????"))


def clear_temporaries(folder: Path) -> None:
    """Remove what killed processes left; no other process may be writing there."""
    for leftover in temporaries(folder):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def umask() -> int:
    """The permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def printable(name: str) -> str:
    """Replace bytes of a file's name that are not UTF-8, which reports cannot contain."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_within(name: str) -> bool:
    """Whether a relative path stays in the folder that it begins in, apart from links."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def user_path(text: str | os.PathLike[str]) -> Path:
    """A path as a user writes it, in which "~" is a home folder unless no user is called so."""
    return Path(os.path.expanduser(text))  # noqa: PTH111


def suffix_of(path: Path) -> str:
    """A file's suffix in lower case; of a compressed file with the one before it: ".csv.gz"."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])
