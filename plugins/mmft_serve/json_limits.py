"""How deep JSON is and how many values it holds, counted before it is parsed.

Python's parser holds the interpreter's lock from the first byte to the last, so a thread that
parses millions of values stops all others, the event loop included. Counting goes in short steps
between which other threads run, and ends at the limit.
"""

from __future__ import annotations

import re

from mmft_serve.refused import RefusedError

_STEP = 64 * 1024
"""Bytes that are looked at without a break."""
_STRUCTURE = re.compile(rb'["\[\]{},]')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


def check_json(body: bytes | bytearray, max_depth: int, max_items: int) -> None:
    """Check that parsing JSON is cheap. What is not JSON is left to the parser to find.

    Args:
        body: in UTF-8; in another encoding its brackets and commas would not be counted.

    Raises:
        RefusedError: 422 for too many levels, 413 for too many values.
    """
    depth, items, position = 0, 1, 0
    while position < len(body):
        found = _STRUCTURE.search(body, position, position + _STEP)
        if found is None:
            position += _STEP
            continue
        position, kind = found.end(), found[0]
        if kind == b'"':
            position = _end_of_string(body, position)
        elif kind in b"[{":
            depth, items = depth + 1, items + 1
        elif kind == b",":
            items += 1
        else:
            depth -= 1
        if depth > max_depth:
            message = (
                "The JSON of the request is nested too deeply: "
                f"at most {max_depth:,} levels are allowed."
            )
            raise RefusedError(422, message)
        if items > max_items:
            message = f"The JSON of the request holds more than {max_items:,} values."
            raise RefusedError(413, message)
        if depth <= 0:
            return  # Whatever follows the value is a mistake, which the parser finds at once.


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
