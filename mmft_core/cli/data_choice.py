"""What the commands of `mmft data` are given: which data set, where to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.discovery import discover
from mmft_core.errors import ConfigError
from mmft_core.files import ensure_new
from mmft_core.planning.trees import Tree, merge, parse_set

if TYPE_CHECKING:
    from mmft_core.data_check.choosing import Chosen

dataset_argument = click.argument("dataset")
task_option = click.option(
    "--task", help="What it is for, where that does not show: text-cls, asr, ..."
)
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="dataset.label_column=kind"
)
output_option = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The table: a .csv or .parquet file.",
)


def table_file(dataset: str) -> Path | None:
    """The file, or the folder of files, if the data set is a table."""
    from mmft_core.data.tables import SUFFIXES
    from mmft_core.table_folders import is_table_folder

    path = Path(dataset).expanduser()
    is_table = path.is_file() and path.suffix.lower() in SUFFIXES
    return path if is_table or is_table_folder(path) else None


def check_output(output: Path, files: list[Path]) -> None:
    """Check that these files may be written, which are named after the output."""
    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--output {output} is no .csv file and no .parquet file.")
    for file in files:
        ensure_new(file)


def chosen_data(dataset: str, task: str | None, assignments: tuple[str, ...]) -> Chosen:
    from mmft_core.data_check.choosing import choose

    registry = discover()
    names = {n for c in registry.of_kind("dataset") for n in (c.name, c.qualified)}
    own: Tree = parse_set(assignments)
    if set(own) - {"dataset"}:
        raise ConfigError(f"--set {next(iter(set(own) - {'dataset'}))}: only dataset.KEY is known.")
    table = merge({"name" if dataset in names else "path": dataset}, own.get("dataset", {}))
    return choose(table, task, registry)
