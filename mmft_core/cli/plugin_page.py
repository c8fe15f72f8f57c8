"""`mmft plugins show`: the page of one component and its options."""

from __future__ import annotations

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from mmft_core.cli.terminal import Styled, joined, styled
from mmft_core.config.options import OptionInfo, describe
from mmft_core.errors import PluginError
from mmft_core.registry import Component
from mmft_core.specs import BackboneSpec, ConfigurableSpec, PartSpec, Spec

_LISTED = {f.name for f in dataclasses.fields(PartSpec)}
"""Attributes that every kind has; the others are what the component offers and asks for."""


_WIDEST = 100


def details(component: Component[Spec]) -> dict[str, Any]:
    """The details of a component that its page shows and the list of components does not.

    Raises:
        PluginError: its options cannot be loaded.
    """
    found: dict[str, Any] = {"contract": _contract(component)}
    if isinstance(component.spec, ConfigurableSpec):
        options = [dataclasses.asdict(o) for o in describe(component.options_type())]
        found |= {"options": options}
    if isinstance(component.spec, PartSpec):
        found |= {"defaults": dict(component.spec.defaults)}
    return found


def page(component: Component[Spec]) -> Iterator[str]:
    """The lines of the page, as wide as the terminal, yet not too wide to read."""
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    spec = component.spec
    yield joined(styled(component.name, bold=True), "  ", component.kind)
    yield from _wrapped(spec.summary, width, 2)
    yield ""
    source = f"{component.plugin} ({component.distribution} {component.version})"
    facts = {"plugin": source, "status": _status(component)}
    facts |= {key: _plain(value) for key, value in _contract(component).items() if value != ()}
    longest = max(map(len, facts))
    for key, value in facts.items():
        yield joined("  ", styled(key.replace("_", " ").ljust(longest), dim=True), "  ", value)
    if isinstance(spec, ConfigurableSpec):
        yield from _options(component, spec.table, width)
    if isinstance(spec, PartSpec) and spec.defaults:
        yield ""
        yield "recommended, unless you set them"
        for key, value in spec.defaults.items():
            yield f"  {key} = {_plain(value)}"


def _options(component: Component[Spec], table: str, width: int) -> Iterator[str]:
    try:
        options = list(describe(component.options_type()))
    except PluginError as error:
        yield ""
        yield styled(f"options cannot be shown: {error.message}", fg="red")
        return
    yield ""
    if not options:
        yield "no options"
        return
    default = options[0].default
    # As a shell takes it: a list without blanks.
    value = json.dumps(default, separators=(",", ":")) if _is_list(default) else _plain(default)
    yield f"options, for example --set {table}{options[0].name}={value}"
    for option in options:
        yield from _option(option, width)


def _option(option: OptionInfo, width: int) -> Iterator[str]:
    head = (styled(option.name, bold=True), f" = {_plain(option.default)}")
    yield joined("  ", *head, "  ", styled(f"({option.type})", dim=True))
    yield from _wrapped(option.description, width, 6)


def _contract(component: Component[Spec]) -> dict[str, Any]:
    """The attributes that only specs of this kind have: provides, needs, opens, ..."""
    names = [f.name for f in dataclasses.fields(component.spec) if f.name not in _LISTED]
    if isinstance(component.spec, BackboneSpec):  # Which says it in two ways.
        names.remove("modalities" if len(component.spec.modalities) == 1 else "modality")
    values = {name: getattr(component.spec, name) for name in names}
    return {name: value for name, value in values.items() if value != ""}


def _status(component: Component[Spec]) -> Styled:
    missing = component.missing_extras()
    if not missing:
        return styled("available", fg="green")
    extras = f"{component.distribution}[{','.join(missing)}]"
    return styled(f"needs packages: pip install '{extras}'", fg="yellow")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _plain(value: Any) -> str:
    """A value as it is written in a sentence, and after `--set KEY=`."""
    if _is_list(value):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == "":
        return "none" if value is None else '""'
    return str(value)


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    blanks = " " * indent
    return textwrap.wrap(
        text, width, initial_indent=blanks, subsequent_indent=blanks, break_long_words=False
    )
