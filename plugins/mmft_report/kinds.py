"""The metrics of each kind of sample, such as a type of question."""

from __future__ import annotations

from dataclasses import dataclass

from mmft_core.utils import is_finite
from mmft_report.content import ReportContent

_COLUMNS = 6


@dataclass(frozen=True, kw_only=True)
class KindTable:
    """A row for each kind, the worst first.

    Attributes:
        rows: (kind, number of its samples, its cells: text, and share of a bar or None).
    """

    columns: list[str]
    rows: list[tuple[str, float, list[tuple[str, float | None]]]]


def kind_table(content: ReportContent) -> KindTable | None:
    """The table of the split that is shown in detail; None where samples are of no kind."""
    kinds = content.section("kinds").get(content.split or "") or {}
    if not kinds:
        return None
    first = content.section("monitor").get("name")
    names = list(dict.fromkeys(name for own in kinds.values() for name in own))
    names.remove("samples")
    names.sort(key=lambda name: name != first)
    columns = names[:_COLUMNS]
    ordered = sorted(kinds.items(), key=lambda item: _sortable(item[1].get(columns[0])))
    return KindTable(
        columns=columns,
        rows=[(k, own["samples"], [_cell(own.get(c)) for c in columns]) for k, own in ordered],
    )


def _sortable(value: float | None) -> float:
    return value if is_finite(value) else float("inf")


def _cell(value: float | None) -> tuple[str, float | None]:
    if value is None or not is_finite(value):
        return "–", None
    return f"{value:.4f}", value if 0 <= value <= 1 else None
