"""The tables of `mmft plugins`: one per kind, or a line per component where a table is too wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from mmft_core.cli.tables import Column, Table, text
from mmft_core.registry import Component, Failure, Registry
from mmft_core.specs import KINDS, Spec

Components = Sequence[Component[Spec]]

_INDENT = (0, 0, 0, 2)


def print_tables(registry: Registry, console: Console) -> None:
    """Print the components by kind, then in red what is broken."""
    by_kind = {kind: found for kind, spec in KINDS.items() if (found := registry.of(spec))}
    tables = {kind: Padding(_table(found), _INDENT) for kind, found in by_kind.items()}
    fits = all(console.measure(table).maximum < console.width for table in tables.values())
    for kind, found in by_kind.items():
        console.print(Text.assemble((f"{kind}s", "bold"), " ", (f"({len(found)})", "dim")))
        for part in (tables[kind],) if fits else _lines(found, console.width):
            console.print(part)
        console.print()
    if not by_kind:
        console.print("No installed component matches.")
    for failure in registry.failures:
        _print_failure(failure, console)
    if by_kind:
        hint = "mmft plugins show NAME describes a component in full; --kind KIND lists one kind."
        console.print(hint, style="dim")


def _table(components: Components) -> Table:
    """Every fact in a column."""
    modality = ("modality",) * any(map(_modality, components))
    facts = (*modality, "plugin", "distribution", "version", "status", "summary")
    table = Table(Column("name", style="bold"), *facts, header_style="dim")
    for c in components:
        own = (_modality(c),) * len(modality)
        source = (c.plugin, c.distribution, c.version)
        table.add(c.name, *own, *source, _status(c), c.spec.summary)
    return table


def _lines(components: Components, width: int) -> Iterator[RenderableType]:
    """A line each, under lines that say where components come from and what they deal with.

    Only the summary is cut to the width, and a status is shown only if extras are missing.
    """
    widest = max(cell_len(c.name) for c in components)
    for source, members in groupby(sorted(components, key=_source), key=_source):
        yield Padding(text(source, "dim"), _INDENT)
        for c in members:
            line = text(f"    {c.name.ljust(widest)}  ", "bold")
            if c.missing_extras():
                line = Text.assemble(line, _status(c), "  ")
            summary = text(c.spec.summary)
            summary.truncate(max(1, width - line.cell_len), overflow="ellipsis")
            yield Text.assemble(line, summary)


def _print_failure(failure: Failure, console: Console) -> None:
    source = f"{failure.plugin} ({failure.distribution} {failure.version})"
    console.print(Text.assemble(text("broken plugin ", "bold red"), text(source, "red")))
    console.print(Padding(text(failure.cause, "red"), _INDENT))


def _source(component: Component[Spec]) -> str:
    facts = (component.plugin, f"{component.distribution} {component.version}")
    return " · ".join((*facts, *filter(None, [_modality(component)])))


def _modality(component: Component[Spec]) -> str:
    return ", ".join(component.spec.modality_names).replace("*", "any")


def _status(component: Component[Spec]) -> Text:
    missing = component.missing_extras()
    if not missing:
        return text("available", "green")
    return text(f"needs [{','.join(missing)}]", "yellow")
