"""What the commands of `mmft data` are given: which data set, where to write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core import DatasetSpec, discover
from mmft_core.cli import set_option
from mmft_core.config import Tree, merge, parse_set
from mmft_core.data import TABLE_SUFFIXES, is_table_folder
from mmft_core.errors import ConfigError
from mmft_core.utils import ensure_new, suffix_of, user_path

if TYPE_CHECKING:
    from mmft_core.config import Plan
    from mmft_data_check.choosing import Chosen
    from mmft_tables.tables import Table

dataset_argument = click.argument("dataset")
task_option = click.option(
    "--task", help="Task the data are for, such as asr, if the data alone do not show it."
)
setting_option = set_option(
    "A setting of the data set, such as dataset.label_column=kind; can be repeated."
)
model_setting_option = set_option(
    "A setting of the data set, such as dataset.label_column=kind; with --backbone also of task or "
    "backbone, such as backbone.max_length=512; can be repeated."
)
output_option = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Table to write: a .csv or .parquet file.",
)


_READING = ("separator", "sheet")
"""Settings of how a table is read, whatever it is for."""


def read_table(dataset: str, assignments: tuple[str, ...], *, alone: bool = False) -> Table | None:
    """The data set as a table; None if it is not one.

    Args:
        assignments: settings, of which those on how it is read are used.
        alone: whether other settings are refused.

    Raises:
        ConfigError: there are such settings.
        DataError: it cannot be read.
    """
    from mmft_tables.tables import Table

    path = user_path(dataset)
    is_table = path.is_file() and suffix_of(path) in TABLE_SUFFIXES
    if not (is_table or is_table_folder(path)):
        return None
    own = _own(assignments)
    other = next((key for key in own if key not in _READING), None)
    if alone and other is not None:
        raise ConfigError(
            f"--set dataset.{other}={own[other]}: {path} is a table, whose rows are divided as "
            "they are.",
            hint="Name the column of its classes with --label COLUMN.",
        )
    separator, sheet = (None if own.get(key) is None else str(own[key]) for key in _READING)
    return Table(path, separator=separator, sheet=sheet)


def _own(assignments: tuple[str, ...]) -> Tree:
    """The settings of the data set.

    Raises:
        ConfigError: there are others.
    """
    own: Tree = parse_set(assignments)
    if set(own) - {"dataset"}:
        raise ConfigError(
            f"--set {next(iter(set(own) - {'dataset'}))}: only dataset.KEY is allowed."
        )
    return dict(own.get("dataset", {}))


def group_column(assignments: tuple[str, ...]) -> str | None:
    """The group column that the settings name; None if they name none."""
    column = _own(assignments).get("group_column")
    return None if column is None else str(column)


def check_output(output: Path, files: list[Path]) -> None:
    """Check that these files may be written, which are named after the output."""
    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"--output {output} is neither a .csv nor a .parquet file.")
    for file in files:
        ensure_new(file)


def chosen_data(dataset: str, task: str | None, assignments: tuple[str, ...]) -> Chosen:
    from mmft_data_check.choosing import choose

    registry = discover()
    names = {n for c in registry.of(DatasetSpec) for n in (c.name, c.qualified)}
    own = _own(assignments)
    table = merge({"name" if dataset in names else "path": dataset}, own)
    return choose(table, task, registry)


def of_data(assignments: tuple[str, ...]) -> tuple[str, ...]:
    """The settings that are the data set's."""
    return tuple(one for one in assignments if one.partition(".")[0].strip() == "dataset")


def plan_of(
    dataset: str, task: str | None, backbone: str, weights: str | None, assignments: tuple[str, ...]
) -> Plan:
    """The run that the data are checked for.

    Raises:
        ConfigError: no task is named, or the settings do not fit.
    """
    from mmft_core.cli import notice
    from mmft_core.config import resolve, settings_of

    if task is None:
        raise ConfigError("--backbone needs --task.", hint="For example: --task chat")
    registry = discover()
    given = {"task": task, "dataset": dataset, "backbone": (backbone,)}
    given |= {"weights": (weights,)} if weights is not None else {}
    return resolve(settings_of(given, parse_set(assignments), registry, notice), registry)
