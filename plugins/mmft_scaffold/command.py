"""`mmft new-plugin`: the package of a new plugin, which works as it is."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mmft_core import PARTS
from mmft_core.cli import echo
from mmft_scaffold.writing import distribution_name, modalities, write_plugin


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(PARTS),
    multiple=True,
    help="Kind of component to write; can be repeated.  [default: all]",
)
@click.option(
    "--modality",
    type=click.Choice(modalities()),
    default="image",
    show_default=True,
    help="What the network reads.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to write to.  [default: ./mmft-NAME]",
)
def new_plugin(name: str, kinds: tuple[str, ...], modality: str, output: Path | None) -> None:
    """Write a new plugin package with working components for you to change.

    \b
    mmft new-plugin flowers                          one component of each kind
    mmft new-plugin birdsong --modality audio        the same for audio
    mmft new-plugin flowers --kind backbone --kind metric
    mmft new-plugin flowers -o ~/code/flowers
    """
    folder = output or Path(distribution_name(name))
    names = write_plugin(name, kinds or PARTS, folder, modality)
    parts = " ".join(f"--{kind} {names[kind]}" for kind in ("task", "backbone", "dataset"))
    echo(f"{folder} holds a plugin that works: {', '.join(kinds or PARTS)}.")
    echo()
    echo("Try it, then make it yours:")
    echo(f"  cd {shlex.quote(str(folder))} && pip install -e '.[test]'")
    echo(f"  mmft run {parts} --metric {names['metric']}")
    echo("  pytest")
