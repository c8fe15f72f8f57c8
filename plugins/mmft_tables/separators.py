"""What separates the cells of a text table: given by the user, stated in the file, or found."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Mapping, Sequence

from mmft_core.errors import ConfigError

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
"""The usual separators, as messages call them."""

_WORDS = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_STATED = re.compile(r'"?sep=([^\r\n])"?[\r\n]*', re.IGNORECASE)


def given_separator(given: str) -> str:
    """The character that the option `separator` stands for.

    Raises:
        ConfigError: it is not one character.
    """
    separator = _WORDS.get(given.lower(), given)
    if len(separator) != 1 or separator in '"\r\n':
        raise ConfigError(
            f"dataset.separator = {given!r} is not valid: expected one character, or "
            f"{', '.join(word for word in _WORDS if word.isalpha())}."
        )
    return separator


def stated_separator(line: str) -> str | None:
    """The separator that a first line "sep=;" states, as spreadsheets write it."""
    found = _STATED.fullmatch(line)
    return found[1] if found else None


def find_separator(lines: Sequence[str], usual: str) -> str:
    """The separator of a table, found in its first lines.

    It is the usual one, unless the header does not have it, or rows would have another number of
    cells than the header, and another separator fits. Where commas and another separator fit, the
    commas are text if they make fewer columns, or as many, or are always followed by a space: names
    of columns hold commas (`height, cm;label`), but hardly any other separator.

    Args:
        lines: at least the header.
        usual: the usual separator of files with this suffix.
    """
    records = {s: _records(lines, s) for s in dict.fromkeys([usual, *NAMES])}
    dividing = [s for s, found in records.items() if found and len(found[0]) > 1]
    regular = [s for s in dividing if _regular(records[s])]
    others = [s for s in regular if s != usual]
    if others:
        best = max(others, key=lambda s: len(records[s][0]))
        if usual not in regular or (usual == "," and _are_text(lines, records, best)):
            return best
    if usual not in dividing and len(dividing) == 1:
        return dividing[0]
    return usual


def fitted(cells: list[str], header: Sequence[str]) -> list[str] | None:
    """A row with as many cells as the header; None if it has another number.

    Separators at the end of rows, or of the header, make empty cells there, which may be missing.
    """
    width = len(header)
    if len(cells) > width:
        return None if any(cells[width:]) else cells[:width]
    missing = width - len(cells)
    if missing and any(name.strip() for name in header[-missing:]):
        return None
    return cells + [""] * missing


def _records(lines: Sequence[str], separator: str) -> list[list[str]]:
    """The first records, without the last of several, which may be incomplete."""
    found: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        found.extend(record for record in csv.reader(lines, delimiter=separator) if record)
    return found[:-1] if len(found) > 2 else found


def _are_text(lines: Sequence[str], records: Mapping[str, Sequence[list[str]]], other: str) -> bool:
    """Whether commas are text, in a table that another separator fits, too."""
    if len(records[other][0]) >= len(records[","][0]):
        return True
    text = "".join(lines)
    return not re.search(r",(?! )", text) and f"{other} " not in text


def _regular(records: Sequence[list[str]]) -> bool:
    header, *rows = records
    return bool(rows) and all(fitted(row, header) is not None for row in rows)
