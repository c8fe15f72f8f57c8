"""Dates as people write them, and the numbers that they become."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, get_args

DateFormat = Literal["year-first", "day-first", "month-first"]
"""What 5/6/2024 means. Forms that can be read in one way alone are read in every format: those that
begin with the year (2024-06-05, 20240605), and those that name the month in English."""

DATE_FORMATS: tuple[DateFormat, ...] = get_args(DateFormat)

PARTS: Mapping[str, Callable[[dt.datetime], int]] = {
    "year": lambda date: date.year,
    "month": lambda date: date.month,
    "day": lambda date: date.day,
    "weekday": lambda date: date.weekday(),
    "hour": lambda date: date.hour,
}
"""What a date becomes; weekdays count from 0, Monday."""

_YEARS = range(1900, 2101)
"""Of dates without separators, which are whole numbers else."""

_TIME = (
    r"(?:(?:T|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?\s*(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_NAME = r"(?P<name>[A-Za-z]{3,9})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_CLEAR = [
    re.compile(form + _TIME)
    for form in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
        r"(?P<year>\d{4})-(?P<month>\d\d)",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
        rf"{_DAY}[ -]{_NAME}[, -]\s*(?P<year>\d{{4}})",
        rf"{_NAME} {_DAY},? (?P<year>\d{{4}})",
    )
]
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d)?")
_TWO_WAYS = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})(?P=mark)(?P<year>\d{4})" + _TIME
)


_SHORT_YEAR = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})(?P=mark)\d{2}(?!\d)" + _TIME
)


def has_short_year(text: str) -> bool:
    """Whether a cell looks like a date whose year, at its end, has two digits: of which century?"""
    found = _SHORT_YEAR.fullmatch(text.strip())
    if found is None:
        return False
    smaller, larger = sorted((int(found["first"]), int(found["other"])))
    return 1 <= smaller <= 12 and larger <= 31


def read_date(text: str, form: DateFormat) -> dt.datetime | None:
    """The date of a cell, with its time, if any, in its own time zone; None if it is none."""
    text = text.strip()
    if _ISO.fullmatch(text):  # Most dates, which the standard library reads faster.
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            return None
    found = _TWO_WAYS.fullmatch(text)
    if found is None:
        clear = (pattern.fullmatch(text) for pattern in _CLEAR)
        return next((_clear(match) for match in clear if match is not None), None)
    if form == "year-first":
        return None
    first, other = int(found["first"]), int(found["other"])
    day, month = (first, other) if form == "day-first" else (other, first)
    return _made(int(found["year"]), month, day, found)


def find_date_format(texts: Sequence[str]) -> tuple[DateFormat, str]:
    """The format that a column's cells show, and one that leaves it in doubt.

    Returns:
        The format; and "", or a cell that is two dates, if no other cell says which.
    """
    days, months, doubt = 0, 0, ""
    for text in texts:
        if _TWO_WAYS.fullmatch(text.strip()) is None:
            continue
        by_day, by_month = read_date(text, "day-first"), read_date(text, "month-first")
        days += by_month is None and by_day is not None
        months += by_day is None and by_month is not None
        if by_day is not None and by_month is not None and by_day != by_month:
            doubt = doubt or text
    if days or months:
        return ("day-first" if days >= months else "month-first"), ""
    return "year-first", doubt


def parts_of(dates: Iterable[dt.datetime]) -> list[str]:
    """The parts that dates become: the hour only where some have a time."""
    timed = any(date.hour or date.minute or date.second for date in dates)
    return [part for part in PARTS if timed or part != "hour"]


def _clear(found: re.Match[str]) -> dt.datetime | None:
    parts = found.groupdict()
    if parts.get("name"):
        name = parts["name"].lower()
        known = [k for k, month in enumerate(_MONTHS, 1) if month.startswith(name)]
        month = known[0] if known else 0
    else:
        month = int(parts["month"])
    year = int(parts["year"])
    if "mark" not in parts and "name" not in parts and "day" in parts and year not in _YEARS:
        return None
    return _made(year, month, int(parts.get("day", 1)), found)


def _made(year: int, month: int, day: int, found: re.Match[str]) -> dt.datetime | None:
    hour, half = int(found["hour"] or 0), (found["half"] or "").lower()
    if half and not 1 <= hour <= 12:
        return None
    hour = hour % 12 + 12 * (half == "p") if half else hour
    try:
        return dt.datetime(
            year, month, day, hour, int(found["minute"] or 0), int(found["second"] or 0)
        )
    except ValueError:
        return None
