"""`mmft data`: what is wrong with a data set, the same without it, and the same in splits."""

from __future__ import annotations

import contextlib
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli.data_report import show
from mmft_core.discovery import discover
from mmft_core.errors import ConfigError
from mmft_core.files import ensure_new
from mmft_core.planning.trees import Tree, merge, parse_set

if TYPE_CHECKING:
    from mmft_core.data_check import Report
    from mmft_core.data_check.choosing import Chosen


@click.group()
def data() -> None:
    """Check a data set before anything is trained, clean it, divide it."""


_dataset = click.argument("dataset")
_task = click.option("--task", help="What it is for, where that does not show: text-cls, asr, ...")
_set = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="dataset.label_column=kind"
)


@data.command()
@_dataset
@_task
@_set
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="All of it, for programs."
)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="All of it, to be looked at."
)
def check(
    dataset: str,
    task: str | None,
    assignments: tuple[str, ...],
    json_file: Path | None,
    html: Path | None,
) -> None:
    """Look at every sample of DATASET, a name or a path, and report what is wrong.

    Found are unreadable files, exact and near copies, copies across splits, contradicting and
    suspicious labels, rare classes, silent, clipped, blank, empty and overlong inputs, broken
    characters and missing values. Ends with 0 if there is nothing, and with 1 otherwise.

    \b
    mmft data check ./photos --html check.html
    mmft data check reviews.csv --task text-cls
    """
    from mmft_core.data_check.page import write_page
    from mmft_core.files import write_json

    chosen, report = _checked(dataset, task, assignments)
    show(report)
    if json_file is not None:
        write_json(json_file, asdict(report))
    if html is not None:
        write_page(html, report, chosen.dataset, chosen.inspectors)
        click.echo(f"report  {html}")
    if report.findings:
        click.echo(f"clean   mmft data clean {shlex.quote(dataset)} -o cleaned.csv")
    sys.exit(1 if report.findings else 0)


@data.command()
@_dataset
@_task
@_set
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The table: a .csv file."
)
@click.option(
    "--remove",
    multiple=True,
    metavar="KIND",
    help="Kinds of findings whose samples go; `mmft data check` names them in its JSON. Default: "
    "unreadable, unlabelled, empty, silent and blank ones, and copies.",
)
def clean(
    dataset: str,
    task: str | None,
    assignments: tuple[str, ...],
    output: Path,
    remove: tuple[str, ...],
) -> None:
    """Write a table of DATASET without what is wrong with it; the data stay as they are.

    Beside OUTPUT.csv comes OUTPUT.removed.csv with the reason for each sample that is left out.

    \b
    mmft data clean ./photos -o photos.csv && mmft run --task image-cls --dataset photos.csv ...
    """
    from mmft_core.data_check.cleaning import (
        BY_DEFAULT,
        removals,
        rows_left,
        rows_left_of_table,
        write_removals,
        write_rows,
    )

    removed_file = output.with_suffix(".removed.csv")
    _check_output(output, [output, removed_file])
    chosen, report = _checked(dataset, task, assignments)
    removed = removals(report.findings, remove or BY_DEFAULT)
    folder, own = output.absolute().parent, _table(dataset)
    rows = rows_left_of_table(own, folder, removed) if own else None
    if rows is None:
        rows = rows_left(chosen.dataset, chosen.inspectors, chosen.target, folder, removed)
    write_rows(output, rows)
    write_removals(removed_file, removed)
    kinds = {kind: sum(f.kind == kind for f in removed) for kind in report.by_kind()}
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    click.echo(f"{len(rows):,} samples left, {len(removed):,} removed{f': {told}' if told else ''}")
    click.echo(f"table    {output}")
    click.echo(f"removed  {removed_file}")
    click.echo(f"use it   mmft run --dataset {shlex.quote(str(output))} ...")


_share = click.FloatRange(min=0, max=1, max_open=True)


@data.command()
@_dataset
@_task
@_set
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The table: a .csv file."
)
@click.option("--val", type=_share, default=0.1, show_default=True, help="Share of the rows.")
@click.option("--test", type=_share, default=0.1, show_default=True, help="Share of the rows.")
@click.option("--group", metavar="COLUMN", help="Keep rows with the same cell in one split.")
@click.option("--time", metavar="COLUMN", help="The last rows are test, those before them val.")
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="Write K tables instead.")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True)
def split(
    dataset: str,
    task: str | None,
    assignments: tuple[str, ...],
    output: Path,
    val: float,
    test: float,
    group: str | None,
    time: str | None,
    folds: int | None,
    seed: int,
) -> None:
    """Write a table of DATASET with a column that divides it anew into train, val and test.

    Each class is divided in proportion, unless --group or --time says otherwise. With --folds K
    there come K tables, OUTPUT.fold-1.csv and so on, whose val is a fold each.

    \b
    mmft data split patients.csv -o divided.csv --group patient
    """
    from mmft_core.data_check.splitting import divide_rows, fold_rows

    numbers = range(1, folds + 1) if folds else ()
    files = [output.with_suffix(f".fold-{number}.csv") for number in numbers] or [output]
    _check_output(output, files)
    if time is not None and (group is not None or folds is not None):
        raise ConfigError("--time goes neither with --group nor with --folds.")
    rows = _rows(dataset, task, assignments, output.absolute().parent)
    if folds is None:
        shares = {"test": test, "val": val}
        names = divide_rows(rows, shares, group=group, time=time, seed=seed)
        _write_split(output, rows, names)
        click.echo(f"use it  mmft run --dataset {shlex.quote(str(output))} ...")
        return
    fold_of = fold_rows(rows, folds, group=group, seed=seed).tolist()
    for fold, file in enumerate(files):
        _write_split(file, rows, ["val" if own == fold else "train" for own in fold_of])


def _rows(
    dataset: str, task: str | None, assignments: tuple[str, ...], folder: Path
) -> list[dict[str, str]]:
    """The rows to be divided: those of a table as they are, those of other data by sample."""
    from mmft_core.data_check.cleaning import rows_left, rows_of_table

    table = _table(dataset)
    if table is not None:
        return rows_of_table(table, folder)
    chosen = _chosen(dataset, task, assignments)
    return rows_left(chosen.dataset, chosen.inspectors, chosen.target, folder)


def _table(dataset: str) -> Path | None:
    """The file, if the data set is a table."""
    from mmft_core.data.tables import SUFFIXES

    path = Path(dataset).expanduser()
    return path if path.is_file() and path.suffix.lower() in SUFFIXES else None


def _write_split(file: Path, rows: list[dict[str, str]], names: list[str]) -> None:
    from mmft_core.data_check.cleaning import write_rows

    divided = [{k: v for k, v in row.items() if k != "split"} for row in rows]
    write_rows(file, [row | {"split": n} for row, n in zip(divided, names, strict=True)])
    counts = ", ".join(f"{names.count(n):,} {n}" for n in ("train", "val", "test") if n in names)
    click.echo(f"table  {file}: {counts}")


def _check_output(output: Path, files: list[Path]) -> None:
    """Check that these files may be written, which are named after the output."""
    if output.suffix != ".csv":
        raise ConfigError(f"--output {output} is no .csv file.")
    for file in files:
        ensure_new(file)


def _checked(dataset: str, task: str | None, assignments: tuple[str, ...]) -> tuple[Chosen, Report]:
    from rich.console import Console

    from mmft_core.cli.display import make_display
    from mmft_core.data_check import check as run_check

    chosen = _chosen(dataset, task, assignments)
    display = make_display(Console(stderr=True))
    with contextlib.closing(display):
        report = run_check(
            chosen.dataset,
            chosen.inspectors,
            lambda done, total: display.evaluating("data check", done, total),
        )
    return chosen, report


def _chosen(dataset: str, task: str | None, assignments: tuple[str, ...]) -> Chosen:
    from mmft_core.data_check.choosing import choose

    registry = discover()
    names = {n for c in registry.of_kind("dataset") for n in (c.name, c.qualified)}
    own: Tree = parse_set(assignments)
    if set(own) - {"dataset"}:
        raise ConfigError(f"--set {next(iter(set(own) - {'dataset'}))}: only dataset.KEY is known.")
    table = merge({"name" if dataset in names else "path": dataset}, own.get("dataset", {}))
    return choose(table, task, registry)
