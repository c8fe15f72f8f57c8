"""`mmft plugins` lists what is installed or broken; `mmft plugins show` describes one component."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from mmft_core.cli.terminal import echo, echo_json
from mmft_core.discovery import discover
from mmft_core.registry import Component, Registry, kind_named
from mmft_core.specs import KINDS, Spec


class _Kind(click.Choice[str]):
    """A kind of component; for anything else the error suggests what may be meant."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return kind_named(value)


def _shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that may stand before or after `show`."""
    for decorate in (
        click.option(
            "--strict-plugins",
            "strict",
            is_flag=True,
            help="Exit with an error if any plugin is broken.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--kind", type=_Kind(KINDS), help="Show only components of this kind."),
    ):
        command = decorate(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--modality", help="Show only components of this modality, such as image.")
@_shared_options
@click.pass_context
def plugins(
    ctx: click.Context, kind: str | None, modality: str | None, as_json: bool, strict: bool
) -> None:
    """List the installed components, such as backbones, datasets and tasks.

    \b
    mmft plugins                           all components, and broken plugins
    mmft plugins --kind backbone --modality image
    mmft plugins show resnet50             one component, with its options
    """
    ctx.obj = {"kind": kind, "as_json": as_json, "strict": strict}
    if ctx.invoked_subcommand is not None:
        return
    registry = discover(strict=strict).select(kind, modality)
    if as_json:
        _print_json([facts(c) for c in registry], failures=registry.failures)
    elif sys.stdout.isatty():
        from mmft_core.cli.plugin_tables import print_tables
        from mmft_core.cli.tables import console

        print_tables(registry, console())
    else:
        for line in lines(registry):
            echo(line)


@plugins.command()
@click.argument("name")
@_shared_options
@click.pass_obj
def show(before: dict[str, Any], name: str, kind: str | None, as_json: bool, strict: bool) -> None:
    """Show one component: its options, with types and defaults, and what it is compatible with.

    If components of several kinds have this name, all of them are shown.
    """
    from mmft_core.cli.plugin_page import details, page

    kind = kind or before["kind"]
    registry = discover(strict=strict or before["strict"])
    found = (registry.get(KINDS[kind], name),) if kind else registry.find(name)
    if as_json or before["as_json"]:
        _print_json([facts(c) | details(c) for c in found])
    else:
        for number, component in enumerate(found):
            if number:
                echo()
            for line in page(component):
                echo(line)


def facts(component: Component[Spec]) -> dict[str, Any]:
    """What the list says of a component."""
    missing = component.missing_extras()
    return {
        "kind": component.kind,
        "name": component.name,
        "qualified": component.qualified,
        "summary": component.spec.summary,
        "modalities": list(component.spec.modality_names),
        "plugin": component.plugin,
        "distribution": component.distribution,
        "version": component.version,
        "available": not missing,
        "missing_extras": list(missing),
    }


def lines(registry: Registry) -> list[str]:
    """Aligned lines for a pipe, never cut: a component each, then the failures.

    No column but the last, the summary, has blanks inside.
    """
    rows = [("KIND", "NAME", "MODALITY", "PLUGIN", "DISTRIBUTION", "VERSION", "STATUS", "SUMMARY")]
    for fact in map(facts, registry):
        status = "available" if fact["available"] else "needs:" + ",".join(fact["missing_extras"])
        modality = ",".join(fact["modalities"]) or "-"
        keys = ("plugin", "distribution", "version")
        source = (fact[key] for key in keys)
        rows.append((fact["kind"], fact["name"], modality, *source, status, fact["summary"]))
    *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True))
        for row in rows
    ]
    return table + [f"BROKEN  {failure}" for failure in registry.failures]


def _print_json(components: list[dict[str, Any]], **more: Any) -> None:
    failures = [vars(failure) for failure in more.get("failures", ())]
    document = {"components": components} | ({"failures": failures} if more else {})
    echo_json(document, indent=2, default=str)
