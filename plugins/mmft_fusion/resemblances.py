"""What columns of words look like, though they are read neither as numbers nor as dates."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmft_tabular.dates import has_short_year
from mmft_tabular.number_format import is_missing
from mmft_tabular.units import is_unit

_MOST = 0.9
"""Share of the cells that must look like this."""

_WITH_UNIT = re.compile(r"[-+\u2212]?\d[\d.,' ]*?\s?(?P<unit>[^\d\s.,+-][^\d\s]*)")


def resembled(texts: Sequence[str]) -> str:
    """What most texts of a column look like that is read neither as numbers nor as dates."""
    given = [text for text in texts if not is_missing(text)]
    short = [text for text in given if has_short_year(text)]
    if short and len(short) >= _MOST * len(given):
        return f"dates with years of two digits ({short[0]}), which are not read: write four digits"
    found = [match for text in given if (match := _WITH_UNIT.fullmatch(text.strip()))]
    units = list(dict.fromkeys(match["unit"] for match in found))
    if not found or len(found) < _MOST * len(given):
        return ""
    if len(units) == 1 or all(map(is_unit, units)):
        what = ("a unit", "leave it out of the cells")
        if len(units) > 1:
            what = ("several units", "write all in one")
        return f"numbers in {what[0]} ({', '.join(units[:3])}), which are not read: {what[1]}"
    return ""
