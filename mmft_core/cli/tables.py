"""Consoles that print text from others unchanged, and tables that fit narrow terminals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from mmft_core.utils.escaping import escape, escape_message

_LEAST = 16
"""Columns of the terminal that a column of text keeps, if it needs as many."""

_GAP = 2
"""Columns of the terminal between two columns."""

_UNLIMITED = 200
"""Width where no terminal says one."""


class _LiteralConsole(Console):
    """A console to which markup, emoji codes and control characters are but characters."""

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(escape_message(text), **settings)

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape what came by other ways than `render_str`; line breaks are layout by now."""
        for segment in super().render(renderable, options):
            if not segment.control:
                lines = map(escape, segment.text.split("\n"))
                segment = Segment("\n".join(lines), segment.style)
            yield segment


def console(*, stderr: bool = False, quiet: bool = False, file: IO[str] | None = None) -> Console:
    """A console for foreign text; styles are given by `style=` or `text`.

    Without a terminal the width is that of the environment variable COLUMNS, or `_UNLIMITED`.
    """
    settings: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    made = _LiteralConsole(stderr=stderr, quiet=quiet, file=file, **settings)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _UNLIMITED
    return made


def text(content: str, style: str = "") -> Text:
    """A styled text of one line."""
    return Text(escape(content), style)


def remark(content: str) -> Text:
    """A message that catches the eye."""
    return Text.assemble(("! ", "yellow"), escape_message(content))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        number: whether it is aligned to the right and never broken.
        whole: whether its cells are never broken, such as names that are copied.
        width: its minimum, where there is room.
        optional: 0 if it is always shown. `Table.narrowed` leaves out the highest first, of equals
            the rightmost.
    """

    name: str
    number: bool = False
    whole: bool = False
    style: str = ""
    width: int = 1
    optional: int = 0


class Table:
    """Rows below headings. In a narrow terminal text is folded, numbers are not; where that leaves
    too little, each cell gets a line of its own, after its heading.
    """

    def __init__(self, *columns: Column | str, header: bool = True, header_style: str = "bold"):
        self.columns = [c if isinstance(c, Column) else Column(c) for c in columns]
        self.header, self.header_style = header, header_style
        self.rows: list[tuple[list[Text], str]] = []

    def add(self, *cells: str | Text, style: str = "") -> None:
        """Add a row."""
        self.rows.append(([c if isinstance(c, Text) else Text(escape(c)) for c in cells], style))

    @property
    def width(self) -> int:
        """The width of the table if nothing is folded."""
        return sum(self._natural()) + self._gaps()

    def narrowed(self, width: int) -> Table:
        """The table without the optional columns that do not fit."""
        last = max(range(len(self.columns)), key=lambda k: (self.columns[k].optional, k))
        if self.width <= width or not self.columns[last].optional:
            return self
        columns = self.columns.copy()
        del columns[last]
        table = Table(*columns, header=self.header, header_style=self.header_style)
        for cells, style in self.rows:
            table.add(*(c for k, c in enumerate(cells) if k != last), style=style)
        return table.narrowed(width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = share_out(self._least(), self._natural(), options.max_width - self._gaps())
        if widths is None:
            yield from self._stacked(options.max_width)
        else:
            yield self._table(widths)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, self.width)

    def _gaps(self) -> int:
        return _GAP * max(0, len(self.columns) - 1)

    def _natural(self) -> list[int]:
        headings = [cell_len(escape(c.name)) if self.header else 0 for c in self.columns]
        cells = zip(*(row for row, _ in self.rows), strict=True) if self.rows else ()
        widest = [max(cell.cell_len for cell in column) for column in cells] or [0] * len(headings)
        facts = zip(self.columns, headings, widest, strict=True)
        return [max(column.width, *widths) for column, *widths in facts]

    def _least(self) -> list[int]:
        """The minimum width of each column: all of a number or name, at most `_LEAST` for headings
        and text."""
        found = []
        for k, (column, natural) in enumerate(zip(self.columns, self._natural(), strict=True)):
            unbroken = column.number or column.whole
            own = max((row[k].cell_len for row, _ in self.rows), default=0) if unbroken else 0
            found.append(max(own, min(natural, _LEAST)))
        return found

    def _table(self, widths: Sequence[int]) -> RichTable:
        table = RichTable(
            box=None, padding=(0, _GAP, 0, 0), pad_edge=False,
            show_header=self.header, header_style=self.header_style,
        )  # fmt: skip
        for column, width in zip(self.columns, widths, strict=True):
            table.add_column(
                text(column.name),
                justify="right" if column.number else "left",
                style=column.style,
                overflow="fold",
                width=width,
            )
        for cells, style in self.rows:
            pairs = zip(cells, widths, strict=True)
            table.add_row(*(folded(cell, width) for cell, width in pairs), style=style)
        return table

    def _stacked(self, width: int) -> Iterable[RichTable | Padding | str]:
        heading = min(width // 2, max(cell_len(escape(c.name)) for c in self.columns))
        for number, (cells, style) in enumerate(self.rows):
            block = RichTable.grid(padding=(0, _GAP, 0, 0))
            block.add_column(width=heading, overflow="fold", style=self.header_style)
            block.add_column(overflow="fold")
            for column, cell in zip(self.columns, cells, strict=True):
                if cell.plain:
                    block.add_row(text(column.name), cell, style=style or column.style)
            yield block if number == 0 else Padding(block, (1, 0, 0, 0))


def folded(cell: Text, width: int) -> Text:
    """Break a text into lines: after a blank, slash or hyphen where one is in the latter half."""
    cuts, start, used = [], 0, 0
    for place, character in enumerate(cell.plain):
        own = cell_len(character)
        if used + own > width and place > start:
            gentle = 1 + max(cell.plain.rfind(mark, start, place) for mark in " /-")
            start = gentle if gentle - start > (place - start) // 2 else place
            cuts.append(start)
            used = cell_len(cell.plain[start:place])
        used += own
    return Text("\n").join(cell.divide(cuts)) if cuts else cell


def share_out(least: Sequence[int], natural: Sequence[int], total: int) -> list[int] | None:
    """Divide a width among columns, giving what is spare in equal shares; None if it is too small.

    Args:
        least: the minimum of each.
        natural: the width that each has if nothing is folded; no less than its minimum.
    """
    widths, spare = list(least), total - sum(least)
    if spare < 0:
        return None
    while spare > 0 and (hungry := [k for k, want in enumerate(natural) if widths[k] < want]):
        share = max(1, spare // len(hungry))
        for k in hungry:
            more = min(share, natural[k] - widths[k], spare)
            widths[k] += more
            spare -= more
    return widths
