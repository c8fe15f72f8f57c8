"""SHA-256 digests that are written with an artifact and checked when it is opened.

A folder that is written once, such as a model, lists its files in `digests.json`. A file in a store
that grows has its digest in its name. The user's cache remembers what has been checked, so each
file is read once for this, and again only if it has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from mmft_core.utils.cache import cache_root
from mmft_core.utils.files import is_within, sha256, write_json

LIST = "digests.json"

_IN_NAME = re.compile(r"-([0-9a-f]{64})$")


class DamagedFileError(ValueError):
    """A file does not hold what was written."""


def write_digests(folder: Path) -> None:
    """List the digests of all files of a folder in it."""
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != LIST]
    write_json(folder / LIST, {f.relative_to(folder).as_posix(): sha256(f) for f in files})


def check_digests(folder: Path, *names: str) -> None:
    """Check the files of a folder by its list. Folders from before 0.2 have none.

    Args:
        names: the only ones to check, as paths below the folder; none for all.

    Raises:
        DamagedFileError: one is missing or holds something else, or the list is damaged.
    """
    listed = folder / LIST
    if not listed.is_file():
        return
    try:
        wanted = json.loads(listed.read_text(encoding="utf-8"))
        chosen = {name: str(wanted[name]) for name in names or wanted if name in wanted}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DamagedFileError(f"{LIST} cannot be read") from None
    for name in chosen:
        if not is_within(name):
            raise DamagedFileError(f"{LIST} names '{name[:80]}', which is not in the folder")
    check_files(folder, chosen)


def check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Check files of a folder, given their digests by path.

    Raises:
        DamagedFileError: one is missing or holds something else.
    """
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            raise DamagedFileError(f"{name} is missing")
        if digest_of(file) != digest:
            raise DamagedFileError(f"{name} is not what was written")


def sealed_name(file: Path, digest: str) -> Path:
    """The name of a file with its digest: "NAME-DIGEST.SUFFIX"."""
    return file.with_name(f"{file.stem}-{digest}{file.suffix}")


def seal(file: Path) -> Path:
    """Rename a file so that its digest is in its name."""
    return file.replace(sealed_name(file, sha256(file)))


def check_seal(file: Path) -> None:
    """Check a file by the digest in its name, if there is one.

    Raises:
        DamagedFileError: it holds something else.
    """
    named = _IN_NAME.search(file.stem)
    if named and digest_of(file) != named[1]:
        raise DamagedFileError("it is not what was written")


def digest_of(file: Path) -> str:
    """The SHA-256 of a file, computed once as long as its size and times stay the same."""
    found = file.stat()
    stamp = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    key = hashlib.sha256(os.fsencode(file.absolute())).hexdigest()[:32]
    known = cache_root() / "digests" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        record = json.loads(known.read_text(encoding="utf-8"))
        if record["stamp"] == stamp:
            return str(record["sha256"])
    digest = sha256(file)
    with contextlib.suppress(Exception):  # It is only for speed.
        write_json(known, {"stamp": stamp, "sha256": digest})
    return digest
