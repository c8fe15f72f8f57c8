"""How deep JSON is and how many values it holds, counted before it is parsed.

Python's parser holds the interpreter's lock from the first byte to the last, so a thread that
parses millions of values stops all others, the event loop included. Counting goes in short steps
between which other threads run, each of them within regular expressions and NumPy, and ends at the
limit.
"""

from __future__ import annotations

import re

import numpy as np

from mmft_serve.refused import RefusedError

_STEP = 64 * 1024
"""Bytes that are looked at without a break."""
_WHOLE = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
"""What contains no string that goes on after it."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)

_LEVELS = np.zeros(256, np.int64)
"""By byte, by how many levels what follows is deeper."""
_LEVELS[list(b"[{")], _LEVELS[list(b"]}")] = 1, -1
_VALUES = np.isin(np.arange(256), list(b"[{,"))
"""By byte, whether a value may follow."""
_STRUCTURE = _VALUES | (_LEVELS != 0)


def check_json(body: bytes | bytearray, max_depth: int, max_items: int) -> None:
    """Check that parsing JSON is cheap. What is not JSON is left to the parser to find.

    Args:
        body: in UTF-8; in another encoding its brackets and commas would not be counted. It may
            end anywhere.

    Raises:
        RefusedError: 422 for too many levels, 413 for too many values.
    """
    depth, items, position = 0, 1, 0
    while position < len(body):
        block = bytes(body[position : position + _STEP])
        whole = _WHOLE.match(block)
        assert whole is not None  # It matches nothing at all as well.
        marks = np.frombuffer(_STRING.sub(b"", whole[0]), np.uint8)
        marks = marks[_STRUCTURE[marks]]
        levels = depth + np.cumsum(_LEVELS[marks])
        outside = np.flatnonzero(levels <= 0)
        if outside.size:  # Whatever follows the value is a mistake, which the parser finds.
            marks, levels = marks[: outside[0]], levels[: outside[0]]
        items += int(_VALUES[marks].sum())
        if levels.size and levels.max() > max_depth:
            message = (
                "The JSON of the request is nested too deeply: "
                f"at most {max_depth:,} levels are allowed."
            )
            raise RefusedError(422, message)
        if items > max_items:
            message = f"The JSON of the request holds more than {max_items:,} values."
            raise RefusedError(413, message)
        if outside.size:
            return
        depth = int(levels[-1]) if levels.size else depth
        position += whole.end()
        if whole.end() < len(block):
            position = _end_of_string(body, position + 1)


def _end_of_string(body: bytes | bytearray, position: int) -> int:
    """The position after the quotation mark that ends a string."""
    while position < len(body):
        found = _IN_STRING.match(body, position, position + _STEP)
        assert found is not None  # It matches an empty string as well.
        position = found.end()
        if body[position : position + 1] == b'"':
            return position + 1
        if position == len(body) - 1:  # A backslash, and nothing that it escapes.
            break
    return len(body)
