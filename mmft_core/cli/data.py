"""`mmft data`: what is wrong with a data set, the same without it, and the same in splits."""

from __future__ import annotations

import contextlib
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli.data_choice import (
    check_output,
    chosen_data,
    dataset_argument,
    output_option,
    read_table,
    set_option,
    task_option,
)
from mmft_core.cli.data_report import show
from mmft_core.cli.data_split import split
from mmft_core.cli.terminal import echo

if TYPE_CHECKING:
    from mmft_core.data_check import Report
    from mmft_core.data_check.choosing import Chosen


@click.group()
def data() -> None:
    """Check a data set before anything is trained, clean it, divide it."""


data.add_command(split)


@data.command()
@dataset_argument
@task_option
@set_option
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
    characters and missing values; and warnings of what is doubtful about the whole, such as a
    missing header or classes of nearly the same name. Ends with 0 if there is nothing, and with 1
    otherwise.

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
        echo(f"report  {html}")
    if report.findings:
        echo(f"clean   {_clean_command(dataset, task, assignments)}")
    sys.exit(1 if report.findings or report.warnings else 0)


def _clean_command(dataset: str, task: str | None, assignments: tuple[str, ...]) -> str:
    chosen = ["--task", task] if task is not None else []
    sets = [word for assignment in assignments for word in ("--set", assignment)]
    output = "cleaned.parquet" if _is_beyond_csv(dataset, assignments) else "cleaned.csv"
    return shlex.join(["mmft", "data", "clean", dataset, *chosen, *sets, "-o", output])


def _is_beyond_csv(dataset: str, assignments: tuple[str, ...]) -> bool:
    """Whether a data set is a table that no CSV can hold."""
    from mmft_core.data_check.tables_left import beyond_csv

    table = read_table(dataset, assignments)
    return table is not None and bool(beyond_csv(table))


@data.command()
@dataset_argument
@task_option
@set_option
@output_option
@click.option(
    "--remove",
    multiple=True,
    metavar="KIND",
    help="Kinds of findings whose samples go; `mmft data check` names them in its JSON. Default: "
    "unreadable, unlabelled, empty, silent and blank ones, and copies.",
)
@click.option(
    "--raw",
    is_flag=True,
    help="OUTPUT.removed.csv without the apostrophe before cells that a spreadsheet would take for "
    "formulas. OUTPUT.csv never has one.",
)
def clean(
    dataset: str,
    task: str | None,
    assignments: tuple[str, ...],
    output: Path,
    remove: tuple[str, ...],
    raw: bool,
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
        write_removals,
    )
    from mmft_core.data_check.tables_left import (
        check_form,
        kept_rows,
        rows_of_table,
        write_rows,
        write_rows_of,
    )

    removed_file = output.with_suffix(".removed.csv")
    check_output(output, [output, removed_file])
    folder, table = output.absolute().parent, read_table(dataset, assignments)
    if table is not None:
        check_form(output, table)
    chosen, report = _checked(dataset, task, assignments)
    removed = removals(report.findings, remove or BY_DEFAULT)
    kept = kept_rows(table, {f.id for f in removed}) if table is not None else None
    if table is not None and kept is not None:
        texts = rows_of_table(table, folder)
        rows = [texts[k] for k in kept]
        write_rows_of(output, table, kept, rows)
    else:
        rows = rows_left(chosen.dataset, chosen.inspectors, chosen.target, folder, removed)
        write_rows(output, rows)
    write_removals(removed_file, removed, raw=raw)
    kinds = {kind: sum(f.kind == kind for f in removed) for kind in report.by_kind()}
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    echo(f"{len(rows):,} samples left, {len(removed):,} removed{f': {told}' if told else ''}")
    echo(f"table    {output}")
    echo(f"removed  {removed_file}")
    echo(f"use it   mmft run --dataset {shlex.quote(str(output))} ...")


def _checked(dataset: str, task: str | None, assignments: tuple[str, ...]) -> tuple[Chosen, Report]:
    from mmft_core.cli.display import make_display
    from mmft_core.cli.tables import console
    from mmft_core.data_check import check as run_check

    chosen = chosen_data(dataset, task, assignments)
    display = make_display(console(stderr=True))
    with contextlib.closing(display):
        report = run_check(
            chosen.dataset,
            chosen.inspectors,
            chosen.target,
            lambda done, total: display.evaluating("data check", done, total),
        )
    return chosen, report
