"""Escaping text from others where it is shown, in a terminal or a spreadsheet.

File names, labels, texts and messages from plugins can contain anything. A terminal obeys control
characters, and a spreadsheet evaluates cells that look like formulas.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0a-\x1f\x7f-\x9f"  # C0 but the tab, DEL, C1: ESC, CSI, OSC, line breaks
    "\u2028-\u202e\u2066-\u206f"  # line and paragraph separators, direction embeddings, overrides
    "\ud800-\udfff"  # surrogates: bytes of a file name that are not UTF-8
    "]"
)
_SHORT = {"\n": r"\n", "\r": r"\r"}

_LIST_ITEM = "\n  "
"""A line break before an indent is one that mmft made, in a message that lists something."""

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_HARMLESS = re.compile(r"-|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def escape(text: str) -> str:
    r"""Show control characters as Python writes them, `\x1b` for ESC: one line, without effects.

    It changes nothing in what it has escaped already.
    """
    return _UNSAFE.sub(_escaped, text)


def escape_message(text: str) -> str:
    """Escape a message, whose indented lines stay lines."""
    return _LIST_ITEM.join(map(escape, text.split(_LIST_ITEM)))


def escape_data(text: str) -> str:
    r"""Escape JSON or TOML, whose strings then mean the same: `\u202e` is a character to both.

    Line breaks stay; within strings, JSON and TOML have escaped theirs.
    """
    return _UNSAFE.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)


def spreadsheet_cell(text: str) -> str:
    """Write an apostrophe before text that a spreadsheet would take for a formula.

    Numbers stay, and so does a mere dash. Text that begins so after apostrophes gets one more:
    taking one from every cell that matches `'+[=+-@...]` gives back the text of all of them.

    Reference: OWASP, CSV Injection.
    """
    return f"'{text}" if _FORMULA.match(text) and not _HARMLESS.fullmatch(text) else text


def shortened(text: str, most: int = 200) -> str:
    """Leave out the middle of a long text, for a message that names it."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # What `os.fsdecode` makes of a byte.
        code -= 0xDC00
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
