"""`mmft data split`: the rows of a data set with their splits."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core import TaskSpec, discover
from mmft_core.cli import FiniteRange, echo
from mmft_core.errors import ConfigError
from mmft_data_check.data_choice import (
    check_output,
    chosen_data,
    dataset_argument,
    output_option,
    read_table,
    setting_option,
    task_option,
)

if TYPE_CHECKING:
    from mmft_tables.tables import Table

_share = FiniteRange(min=0, max=1, max_open=True)


@click.command()
@dataset_argument
@task_option
@setting_option
@output_option
@click.option("--val", type=_share, help="Share of the rows for val.  [default: 0.1]")
@click.option("--test", type=_share, help="Share of the rows for test.  [default: 0.1]")
@click.option(
    "--label",
    metavar="COLUMN",
    help="Column of the classes.  [default: the first with a usual name, such as label]",
)
@click.option(
    "--group", metavar="COLUMN", help="Keep rows with the same value in this column in one split."
)
@click.option(
    "--time",
    metavar="COLUMN",
    help="Order the rows by this column: the latest become test, those before them val.",
)
@click.option(
    "--folds", type=click.IntRange(min=2), metavar="K", help="Write K tables, one per fold."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**32 - 1),
    default=0,
    show_default=True,
    help="Random seed.",
)
def split(
    dataset: str,
    task: str | None,
    assignments: tuple[str, ...],
    output: Path,
    val: float | None,
    test: float | None,
    label: str | None,
    group: str | None,
    time: str | None,
    folds: int | None,
    seed: int,
) -> None:
    """Write a table of DATASET with a new column that splits it into train, val and test.

    Each class is split in proportion, unless --group or --time says otherwise. --folds K writes K
    tables, OUTPUT.fold-1.csv and so on, each with a different fold as val.

    \b
    mmft data split patients.csv -o divided.csv --group patient
    """
    from mmft_data_check.splitting import divide_rows, find_label, fold_rows

    numbers = range(1, folds + 1) if folds else ()
    files = [output.with_suffix(f".fold-{number}{output.suffix}") for number in numbers] or [output]
    check_output(output, files)
    if time is not None and (group is not None or folds is not None):
        raise ConfigError("--time cannot be combined with --group or --folds.")
    if folds is not None and (val is not None or test is not None):
        raise ConfigError(
            "--val and --test cannot be combined with --folds, where each fold is val once.",
            hint="Set test aside first, then split the table of the other rows into folds.",
        )
    table, rows = _rows(dataset, task, assignments, output)
    classes = find_label(rows, label)
    if folds is None:
        shares = {name: 0.1 if s is None else s for name, s in (("test", test), ("val", val))}
        parts = divide_rows(rows, shares, label=classes, group=group, time=time, seed=seed)
        _write_split(output, table, rows, parts)
        echo(_how(classes, group, time))
        echo(f"use it  mmft run --dataset {shlex.quote(str(output))} ...")
        return
    fold_of = fold_rows(rows, folds, label=classes, group=group, seed=seed).tolist()
    for fold, file in enumerate(files):
        _write_split(file, table, rows, ["val" if own == fold else "train" for own in fold_of])
    echo(_how(classes, group, time))


def _how(classes: str | None, group: str | None, time: str | None) -> str:
    if time is not None:
        return f"by      time, of column '{time}'"
    whole = f", in whole groups of column '{group}'" if group is not None else ""
    if classes is None:
        return f"by      chance{whole}; no column is clearly the class column (see --label)"
    return f"by      class, of column '{classes}'{whole}"


def _rows(
    dataset: str, task: str | None, assignments: tuple[str, ...], output: Path
) -> tuple[Table | None, list[dict[str, str]]]:
    """The rows to be divided: those of a table as they are, those of other data by sample.

    Raises:
        ConfigError: a setting is not about how a table is read, or the output cannot hold it.
    """
    from mmft_data_check.cleaning import rows_left
    from mmft_data_check.tables_left import check_form, rows_of_table

    table, folder = read_table(dataset, assignments, alone=True), output.absolute().parent
    if table is None:
        chosen = chosen_data(dataset, task, assignments)
        return None, rows_left(chosen.dataset, chosen.inspectors, chosen.target, folder)
    if task is not None:
        discover().get(
            TaskSpec, task
        )  # The name is checked, though rows are the same for any task.
    check_form(output, table)
    for warning in table.warnings:
        echo(f"! {warning}", err=True)
    return table, rows_of_table(table, folder)


def _write_split(
    file: Path, table: Table | None, rows: list[dict[str, str]], names: list[str]
) -> None:
    from mmft_data_check.tables_left import write_rows, write_rows_of

    divided = [{k: v for k, v in row.items() if k != "split"} for row in rows]
    divided = [row | {"split": name} for row, name in zip(divided, names, strict=True)]
    if table is None:
        write_rows(file, divided)
    else:
        write_rows_of(file, table, range(len(table)), divided)
    counts = ", ".join(f"{names.count(n):,} {n}" for n in ("train", "val", "test") if n in names)
    echo(f"table  {file}: {counts}")
