"""Numbers as people write them: decimal marks, thousands, percent, currencies and units.

`1,250` is 1250 to some and 1.25 to others. Which it is shows from the other cells of its column: in
`0,5` the comma is decimal, in `1,250.50` it separates thousands. Where nothing shows it, nothing is
assumed, and the column or the cell is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from mmft_core.data import LARGEST
from mmft_tabular.units import PERCENT, goes_before, is_unit

Marks = Literal["plain", "decimal-point", "decimal-comma"]
"""How a column writes numbers. In "plain" no cell shows what a mark means, so that those with two
readings are none."""

_DOUBTED = 0.1
"""The share of cells that can be read in two ways from which on their column is in doubt."""

_MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "none", "null", "-", "--", "–", "—", "?")
)
"""What programs and people write where there is none."""

_DIGITS = str.maketrans("012345678", "9" * 9)

_CELL = re.compile(
    r"(?P<sign>[-+])?\s?(?P<before>[^\d\s.,+-][^\d\s]*?)?\s?(?P<inner>[-+])?"
    r"(?P<body>[.,]?\d[\d.,' ]*(?:[eE][-+]?\d+)?)\s?(?P<after>[^\d\s]+)?"
)


_FAST = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
"""Most cells, which need no closer look."""


def _bodies(decimal: str, thousands: str, indian: str = "") -> re.Pattern[str]:
    groups = rf"(?!0)\d{{1,3}}(?P<mark>[{thousands} '])\d{{3}}(?:(?P=mark)\d{{3}})*"
    return re.compile(rf"(?:\d+|{groups}{indian})?(?:{decimal}\d*)?(?:[eE][-+]?\d+)?")


_POINT = _bodies(r"\.", ",", r"|(?!0)\d{1,2}(?:,\d\d)+,\d{3}")  # 12,50,000 as in India, too.
_COMMA = _bodies(",", ".")


def is_missing(text: str) -> bool:
    """Whether a cell of a column of numbers or dates says that there is none."""
    return text.strip().lower() in _MISSING


@dataclass(frozen=True)
class NumberFormat:
    """How a column writes its numbers.

    Attributes:
        unit: "%", a currency such as "€" or "USD", or a unit such as "kg"; "" for none.
    """

    marks: Marks = "plain"
    unit: str = ""

    @classmethod
    def parse(cls, text: str) -> NumberFormat | None:
        """A format as it is set ("decimal-comma", "decimal-comma €"); None if it is none."""
        marks, _, unit = text.partition(" ")
        if marks not in get_args(Marks) or (unit and not is_unit(unit)):
            return None
        return cls(marks, unit)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.marks} {self.unit}".rstrip()

    @property
    def words(self) -> str:
        """What a reader should know of it; "" for plain numbers."""
        marks = {"plain": "", "decimal-point": "", "decimal-comma": "decimal comma"}[self.marks]
        unit = "in percent, so that 12% is 12" if self.unit == PERCENT else f"in {self.unit}"
        return ", ".join(filter(None, (marks, unit if self.unit else "")))

    def read(self, text: str) -> float | None:
        """The number of a cell; None if it is none in this format, or not finite.

        A unit may be left out, a percent sign may not: it makes a hundredfold difference.
        """
        if self.unit != PERCENT and self.marks != "plain":
            decimal, other = (",", ".") if self.marks == "decimal-comma" else (".", ",")
            fast = text.replace(decimal, ".")
            if other not in text and _FAST.fullmatch(fast):
                return _bounded(float(fast))
        cell = _Cell.of(text)
        if cell is None or (cell.unit != self.unit and (cell.unit or self.unit == PERCENT)):
            return None
        return cell.value(self.marks)

    def resembles(self, text: str) -> bool:
        """Whether a cell is a number in this format, or would be if it had one reading."""
        cell = _Cell.of(text)
        return self.read(text) is not None or (
            cell is not None and cell.doubtful and cell.unit in ("", self.unit)
        )

    def why_not(self, text: str) -> str:
        """Why a cell cannot be read, after its text."""
        cell = _Cell.of(text)
        if cell is None:
            return "is not a number"
        if cell.unit != self.unit and (cell.unit or self.unit == PERCENT):
            others = f"in {self.unit}" if self.unit else "plain numbers"
            own = f"in {cell.unit}" if cell.unit else "a plain number"
            return f"is {own}, the others are {others}"
        if self.marks == "plain" and cell.doubtful:
            return f"can be read as {cell.point:.12g} or as {cell.comma:.12g}"
        return "is not a number"


@dataclass(frozen=True)
class _Cell:
    """A cell that may be a number: its sign, its digits with their marks, its unit."""

    sign: str
    body: str
    unit: str

    @classmethod
    def of(cls, text: str) -> _Cell | None:
        plain = re.sub(r"\s", " ", text.strip()).replace("−", "-").replace("’", "'")
        found = _CELL.fullmatch(plain)
        if found is None:
            return None
        units = [unit for unit in (found["before"], found["after"]) if unit]
        signs = [sign for sign in (found["sign"], found["inner"]) if sign]
        if len(units) > 1 or len(signs) > 1 or not all(map(is_unit, units)):
            return None
        if found["before"] and not goes_before(found["before"]):
            return None
        return cls("".join(signs), found["body"].strip(), "".join(units))

    @property
    def point(self) -> float | None:
        """The number if its point is decimal."""
        return self._number(_POINT, thousands=",", decimal=".")

    @property
    def comma(self) -> float | None:
        """The number if its comma is decimal."""
        return self._number(_COMMA, thousands=".", decimal=",")

    @property
    def doubtful(self) -> bool:
        """Whether these are two different numbers."""
        return self.shows == "doubtful"

    @property
    def shows(self) -> str:
        """What it shows of the marks of its column."""
        point, comma = self.point, self.comma
        if point is None or comma is None:
            return "point" if point is not None else "none" if comma is None else "comma"
        return "both" if point == comma else "doubtful"

    def value(self, marks: Marks) -> float | None:
        if marks == "plain":
            number = None if self.doubtful else self.comma if self.point is None else self.point
        else:
            number = self.point if marks == "decimal-point" else self.comma
        return None if number is None else _bounded(number)

    def _number(self, pattern: re.Pattern[str], thousands: str, decimal: str) -> float | None:
        if pattern.fullmatch(self.body) is None:
            return None
        digits = self.body.translate({ord(mark): None for mark in (thousands, " ", "'")})
        return float(self.sign + digits.replace(decimal, "."))


def _bounded(number: float) -> float | None:
    return number if abs(number) <= LARGEST else None


@dataclass(frozen=True)
class Found:
    """The format that a column's cells show.

    Attributes:
        doubt: a cell of two readings, if there are too many of these to be told one by one.
        example: how a cell that others write otherwise is read.
    """

    format: NumberFormat
    doubt: str = ""
    example: str = ""


def find_number_format(texts: Iterable[str]) -> Found:
    """Find the format of a column.

    The unit is that of most cells. A mark means what cells show that it means, or most of them.
    Decimals of three digits each (1.250) are taken for what programs write, unless there are whole
    numbers among them, as where a point separates thousands.

    Args:
        texts: cells; those that are no numbers say nothing.
    """
    shapes: dict[str, tuple[str, int]] = {}
    for text in texts:
        shape = _shape(text)
        example, count = shapes.get(shape, (text, 0))
        shapes[shape] = example, count + 1
    cells = [
        (text, cell, count)
        for text, count in shapes.values()
        if (cell := _Cell.of(text)) is not None
    ]
    units: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for _, cell, count in cells:
        units[cell.unit] += count
        shown[cell.shows] += count
    unit = units.most_common(1)[0][0] if cells else ""
    doubtful = [(text, cell) for text, cell, _ in cells if cell.doubtful]
    settled = bool(shown["point"] or shown["comma"])
    if settled or (
        doubtful and not shown["both"] and all("," not in cell.body for _, cell in doubtful)
    ):
        marks: Marks = "decimal-comma" if shown["comma"] > shown["point"] else "decimal-point"
        form, thousands = NumberFormat(marks, unit), "." if marks == "decimal-comma" else ","
        grouped = [text for text, cell, _ in cells if thousands in cell.body]
        example = next((t for t in [*(t for t, _ in doubtful), *grouped] if form.read(t)), "")
        told = f"{example} is read as {form.read(example):.12g}" if example else ""
        return Found(form, example=told)
    many = shown["doubtful"] > _DOUBTED * shown.total()
    return Found(NumberFormat("plain", unit), doubt=doubtful[0][0] if many else "")


def _shape(text: str) -> str:
    """What the readings of a cell follow from: the places of digits, and whether the first is 0."""
    shape = text.translate(_DIGITS)
    first = shape.find("9")
    return f"{shape}0" if first >= 0 and text[first] == "0" else shape


def with_unit(given: NumberFormat, texts: Iterable[str]) -> NumberFormat:
    """A format that a user set, with the unit of the cells where they set none."""
    return given if given.unit else replace(given, unit=find_number_format(texts).format.unit)
