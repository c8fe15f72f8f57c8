"""Foreign text made harmless for terminals and spreadsheets."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmft_core.utils.escaping import (
    escape,
    escape_data,
    escape_message,
    shortened,
    spreadsheet_cell,
)

HARMLESS = ["plain", "[red]x[/red]", "[/b]", ":smile:", "日本語", "🐈", "café", "a\tb", "עברית", ""]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_does_nothing_stays(text: str) -> None:
    assert escape(text) == escape_message(text) == escape_data(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\nb\rc", r"a\nb\rc"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066x\u2069\u2028", r"\u2066x\u2069\u2028"),
        ("\udcff", r"\xff"),
    ],
)
def test_what_a_terminal_obeys_is_shown(text: str, shown: str) -> None:
    assert escape(text) == shown
    assert escape(shown) == shown


def test_lists_of_our_own_keep_their_lines() -> None:
    assert escape_message("2 are bad:\n  a\n  b") == "2 are bad:\n  a\n  b"
    assert escape_message("a\nerror: forged") == r"a\nerror: forged"


@settings(deadline=None)
@given(st.text())
def test_data_mean_the_same(text: str) -> None:
    written = escape_data(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(written) == {text: text}
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]", written)


def test_toml_means_the_same() -> None:
    import tomli_w

    tree = {"dataset": {"path": "a\x1b\u202eb\x85", "\x9bkey": 1}}
    assert tomllib.loads(escape_data(tomli_w.dumps(tree))) == tree


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-x", "＝1"]
)
def test_formulas_become_text(text: str) -> None:
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+3", "-2e-7", "-.5", "1=1", "a-b", "'tis", "", "-"])
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert spreadsheet_cell(text) == text


@settings(deadline=None)
@given(st.text(alphabet="'=+-@1.x\t\r"), st.text(alphabet="'=+-@1.x\t\r"))
def test_apostrophes_can_be_taken_away(one: str, other: str) -> None:
    """As docs/production.md says."""
    for text in (one, other):
        cell = spreadsheet_cell(text)
        assert (cell[1:] if re.match("'+[=+\\-@\t\r]", cell) else cell) == text
    assert one == other or spreadsheet_cell(one) != spreadsheet_cell(other)


def test_long_texts_lose_their_middle() -> None:
    assert shortened("x" * 200) == "x" * 200
    short = shortened(f"begin{'x' * 500}end")
    assert short.startswith("begin") and short.endswith("end") and len(short) < 220
