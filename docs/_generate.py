"""A hook of MkDocs: the pages of the reference that are made of the code.

Commands come from click, settings and options from their dataclasses, components from the registry.
So a page cannot say what the program does not.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import mmft_core
from mmft_core import Component, Registry, discover
from mmft_core.cli import cli
from mmft_core.config.engine_config import EngineConfig
from mmft_core.config.options import OptionInfo, describe
from mmft_core.config.setting_names import TOP_LEVEL
from mmft_core.specs import KINDS, ConfigurableSpec
from mmft_core.utils.public_names import public_names


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in the folder."""
    for name, content in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def pages() -> dict[str, str]:
    """The pages by name."""
    registry = discover(strict=True)
    found = {
        "commands": commands_page(),
        "settings": settings_page(),
        "public-names": public_names_page(),
    }
    for kind in (kind for kind, spec in KINDS.items() if issubclass(spec, ConfigurableSpec)):
        found[f"{kind}s"] = components_page(registry, kind)
    return found


# Commands


def commands_page() -> str:
    context = click.Context(cli, info_name="mmft")
    return "\n".join(["# Commands", "", *_group(cli, context, level=2)])


def _group(group: click.Group, context: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield from _command(command, inner, level)
        if isinstance(command, click.Group):
            yield from _group(command, inner, level + 1)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"{'#' * level} {context.command_path}\n"
    yield f"```text\n{context.command_path} {usage}\n```\n"
    yield f"{_help(inspect.cleandoc(command.help or ''))}\n"
    options = [p for p in command.params if isinstance(p, click.Option)]
    if options:
        yield from _table("option", (_option_row(option, context) for option in options))


def _option_row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    kind = "" if option.is_flag else f" `{option.make_metavar(context)}`"
    # The record is what `--help` shows, with default and range in brackets.
    record = option.get_help_record(context)
    return f"| {names}{_cell(kind)} | {_cell(record[1] if record else '')} |"


def _help(text: str) -> str:
    """A docstring as Markdown: what click leaves unwrapped, after \\b, are examples."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("\b\n"):
            parts.append(f"```console\n{paragraph[2:]}\n```")
        else:
            parts.append(_escaped(paragraph))
    return "\n\n".join(parts)


# Settings


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Each setting with its default, its description and its type. Every setting can be given",
        "in a TOML file (`mmft run -c run.toml`) or with `--set`, such as `--set engine.lr=3e-4`.",
        "`mmft run --dry-run` prints all settings of a run.",
        "",
        f"At the top level: {', '.join(f'`{name}`' for name in TOP_LEVEL)}.",
        "Settings of components (`task`, `backbone`, `optimizer`, `callback`, ...) are listed on",
        "the pages of these.",
        "",
    ]
    summary = inspect.cleandoc(EngineConfig.__doc__ or "")
    rows = (_row(option, "engine.") for option in _flat(EngineConfig))
    lines += ["## engine", "", _escaped(summary), "", *_table("setting", rows)]
    return "\n".join(lines)


def _flat(options_type: type[Any], prefix: str = "") -> Iterator[OptionInfo]:
    """The options, with those of nested tables by dotted name."""
    for option in describe(options_type):
        name = f"{prefix}{option.name}"
        if dataclasses.is_dataclass(option.default):
            yield from _flat(type(option.default), f"{name}.")
        else:
            yield dataclasses.replace(option, name=name)


def _row(option: OptionInfo, prefix: str) -> str:
    setting = f"`{prefix}{option.name} = {_plain(option.default)}`"
    return f"| {setting} | {_cell(option.description)} `{option.type}` |"


# Components


def components_page(registry: Registry, kind: str) -> str:
    """A table of all, then the options; those with the same options share a table."""
    components = sorted(registry.of(KINDS[kind]), key=lambda c: (c.spec.options or "", c.name))
    titles = {"dataset": "Data sets"}
    lines = [f"# {titles.get(kind, f'{kind.capitalize()}s')}", ""]
    lines += ["| name | description | plugin |", "|---|---|---|"]
    for c in sorted(components, key=lambda c: c.name):
        lines.append(f"| `{c.name}` | {_cell(c.spec.summary)} | {c.plugin} |")
    lines.append("")
    for _, group in groupby(components, key=lambda c: c.spec.options or c.name):
        lines += _family(list(group))
    return "\n".join(lines)


def _family(components: list[Component[Any]]) -> Iterator[str]:
    yield f"## {_heading(components)}\n"
    for c in components:
        yield f"`{c.name}`: {_escaped(c.spec.summary)}.  "
        if facts := "; ".join(f"{words} {value}" for words, value in _facts(c).items()):
            yield f"{_escaped(facts[0].upper() + facts[1:])}.  "
        for title in ("defaults", "scratch"):
            values = getattr(c.spec, title, None)
            if values:
                when = "Recommended" if title == "defaults" else "From random weights"
                settings = ", ".join(f"`{k} = {_plain(v)}`" for k, v in values.items())
                yield f"{when}: {settings}.  "
        yield ""
    options_type = components[0].options_type()
    if list(describe(options_type)):
        table = components[0].spec.table
        yield from _table("setting", (_row(option, table) for option in _flat(options_type)))


def _heading(components: list[Component[Any]]) -> str:
    if len(components) < 4:
        return ", ".join(c.name for c in components)
    words = inspect.cleandoc(components[0].options_type().__doc__ or "").splitlines()[0]
    words = words.removeprefix("Options of ").rstrip(".")
    return words[0].upper() + words[1:]


_SHOWN = {
    "modality": "reads",
    "modalities": "modalities:",
    "provides": "provides",
    "target": "target type:",
    "targets": "targets:",
    "opens": "opens",
    "needs": "needs",
    "predicts": "predicts",
    "measures": "measures",
    "default_dataset": "default data set:",
    "default_metrics": "metrics:",
    "monitor": "best model by",
    "default": "part of every run, unless left out:",
}
"""Of a spec, what a reader asks for, and in what words."""


def _facts(component: Component[Any]) -> Mapping[str, str]:
    values = ((words, getattr(component.spec, name, None)) for name, words in _SHOWN.items())
    return {words: _plain(value) for words, value in values if value}


# Public names


def public_names_page() -> str:
    """What each package of the core offers to plugins, in a sentence each."""
    lines = [
        "# Public names",
        "",
        "Besides `mmft_core`, [contracts](contracts.md) and [errors](errors.md), a plugin may",
        "import these names from the packages of the core: `from mmft_core.data import Subset`.",
        "Modules below the packages are private and may change.",
        "",
    ]
    for listed in sorted(Path(mmft_core.__file__).parent.glob("*/__init__.pyi")):
        package = importlib.import_module(f"mmft_core.{listed.parent.name}")
        names = sorted(public_names(listed.with_suffix(".py")))
        rows = (f"| `{name}` | {_cell(_summary(getattr(package, name)))} |" for name in names)
        lines += [f"## {package.__name__}", "", _summary(package), "", *_table("name", rows)]
    return "\n".join(lines)


def _summary(thing: Any) -> str:
    """The first sentence of a docstring; none of what has no docstring of its own."""
    own = inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing)
    text = inspect.getdoc(thing) if own else None
    return " ".join((text or "").split("\n\n")[0].split())


# Words


def _table(what: str, rows: Iterable[str]) -> list[str]:
    """A table of two columns, which stand one above the other on a phone (`pages.css`)."""
    head = ['<div class="options" markdown>', "", f"| {what} | description |", "|---|---|"]
    return [*head, *rows, "", "</div>", ""]


def _plain(value: Any) -> str:
    """A value as it is written after `--set KEY=`."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == "":
        return "none" if value is None else '""'
    return str(value)


def _cell(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", _escaped(text).replace("\n", " "))
    return "".join(p if p.startswith("`") else p.replace("|", "\\|") for p in parts)


def _escaped(text: str) -> str:
    """Text as it is, outside of `code`."""
    parts: Iterable[str] = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", p) for p in parts)
