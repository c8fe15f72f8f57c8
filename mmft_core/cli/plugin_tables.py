"""The tables of `mmft plugins` on a terminal: one a kind, or where that is too wide, grouped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmft_core.registry import Component, Failure, Registry
from mmft_core.specs import KINDS, Spec

Components = Sequence[Component[Spec]]

_INDENT = (0, 0, 0, 2)


def print_tables(registry: Registry, console: Console) -> None:
    """Print the components by kind, then in red what is broken."""
    by_kind = {kind: found for kind in KINDS if (found := registry.of_kind(kind))}
    tables = {kind: Padding(_table(found), _INDENT) for kind, found in by_kind.items()}
    fits = all(console.measure(table).maximum < console.width for table in tables.values())
    for kind, found in by_kind.items():
        console.print(f"[bold]{kind}s[/] [dim]({len(found)})[/]", highlight=False)
        for part in (tables[kind],) if fits else _grouped(found, console.width):
            console.print(part, highlight=False)
        console.print()
    if not by_kind:
        console.print("No component is installed that fits.")
    for failure in registry.failures:
        _print_failure(failure, console)
    if by_kind:
        console.print("[dim]mmft plugins show NAME prints a component's options.[/]")


def _table(components: Components) -> Table:
    """Every fact in a column."""
    table = _plain_table(show_header=True)
    with_modality = any(map(_modality, components))
    table.add_column("name", style="bold")
    for header in ("modality",) * with_modality + ("plugin", "distribution", "version", "status"):
        table.add_column(header)
    table.add_column("summary")
    for c in components:
        modality = (_modality(c),) * with_modality
        source = (c.plugin, c.distribution, c.version)
        table.add_row(c.name, *modality, *source, _status(c), escape(c.spec.summary))
    return table


def _grouped(components: Components, width: int) -> Iterator[RenderableType]:
    """Tables under lines that say where their components come from and what they deal with."""
    names = max(len(c.name) for c in components)
    for source, members in groupby(sorted(components, key=_source), key=_source):
        yield Padding(Text(source, "dim"), _INDENT)
        table = _plain_table(show_header=False)
        table.add_column(style="bold", overflow="fold", min_width=min(names, width // 2))
        table.add_column(overflow="fold")
        table.add_column(ratio=1)
        for c in members:
            table.add_row(c.name, _status(c), escape(c.spec.summary))
        yield Padding(table, _INDENT)


def _plain_table(*, show_header: bool) -> Table:
    padding = (0, 2, 0, 0)
    return Table(
        box=None, padding=padding, pad_edge=False, header_style="dim", show_header=show_header
    )


def _print_failure(failure: Failure, console: Console) -> None:
    source = f"{failure.plugin} ({failure.distribution} {failure.version})"
    console.print(Text.assemble(("broken plugin ", "bold red"), (source, "red")))
    console.print(Padding(Text(failure.cause, "red", overflow="fold"), _INDENT))


def _source(component: Component[Spec]) -> str:
    facts = (component.plugin, f"{component.distribution} {component.version}")
    return " · ".join((*facts, *filter(None, [_modality(component)])))


def _modality(component: Component[Spec]) -> str:
    return ", ".join(component.spec.modality_names).replace("*", "any")


def _status(component: Component[Spec]) -> Text:
    missing = component.missing_extras()
    if not missing:
        return Text("available", "green")
    return Text(f"needs [{','.join(missing)}]", "yellow")
