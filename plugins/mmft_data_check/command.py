"""`mmft data`: what is wrong with a data set, the same without it, and the same in splits."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli import FiniteRange, echo
from mmft_core.errors import ConfigError
from mmft_core.utils import counted
from mmft_data_check.data_choice import (
    check_output,
    chosen_data,
    dataset_argument,
    group_column,
    model_setting_option,
    of_data,
    output_option,
    plan_of,
    read_table,
    setting_option,
    task_option,
)
from mmft_data_check.data_report import show
from mmft_data_check.data_split import split

if TYPE_CHECKING:
    from mmft_core.config import Plan
    from mmft_data_check.choosing import Chosen
    from mmft_data_check.cutting import Cut, LongInputs
    from mmft_data_check.findings import Finding, Report
    from mmft_tables.tables import Table


@click.group()
def data() -> None:
    """Check a data set before training, clean it, or split it."""


data.add_command(split)


@data.command()
@dataset_argument
@task_option
@click.option(
    "--backbone",
    metavar="NAME",
    help="Backbone to train on the data; needs --task. Also checks the length of each sample, "
    "whether it is truncated, and how many of its tokens are learned.",
)
@click.option("--weights", metavar="WHAT", help="Weights of the backbone, as for `mmft run`.")
@model_setting_option
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    help="Write the findings to this file as JSON.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the findings to this file as an HTML page.",
)
def check(
    dataset: str,
    task: str | None,
    backbone: str | None,
    weights: str | None,
    assignments: tuple[str, ...],
    json_file: Path | None,
    html: Path | None,
) -> None:
    """Look at every sample of DATASET, a name or a path, and report problems.

    It finds unreadable files, exact and near copies, copies across splits, contradicting and
    suspicious labels, rare classes, silent, clipped, blank, empty and overlong inputs, broken
    characters and missing values. It warns of what is doubtful about the data set as a whole, such
    as a missing header or classes with nearly the same name. Exits with 0 if nothing is found, and
    with 1 otherwise.

    \b
    mmft data check ./photos --html check.html
    mmft data check reviews.csv --task text-cls
    mmft data check chats.jsonl --task chat --backbone chat-lm --weights Qwen/Qwen3-0.6B
    """
    from mmft_core.utils import write_json
    from mmft_data_check.page import write_page

    if backbone is None:
        chosen = chosen_data(dataset, task, assignments)
        report = _checked(chosen)
    else:
        chosen = chosen_data(dataset, task, of_data(assignments))
        plan = plan_of(dataset, task, backbone, weights, assignments)
        report = _with_learning(_checked(chosen), chosen, plan)
    show(report)
    if json_file is not None:
        write_json(json_file, asdict(report))
    if html is not None:
        write_page(html, report, chosen.dataset, chosen.inspectors)
        echo(f"report  {html}")
    if report.findings:
        echo(f"clean   {_clean_command(dataset, task, of_data(assignments))}")
    sys.exit(1 if report.findings or report.warnings else 0)


def _clean_command(dataset: str, task: str | None, assignments: tuple[str, ...]) -> str:
    chosen = ["--task", task] if task is not None else []
    sets = [word for assignment in assignments for word in ("--set", assignment)]
    output = "cleaned.parquet" if _is_beyond_csv(dataset, assignments) else "cleaned.csv"
    return shlex.join(["mmft", "data", "clean", dataset, *chosen, *sets, "-o", output])


def _is_beyond_csv(dataset: str, assignments: tuple[str, ...]) -> bool:
    """Whether a data set is a table that a CSV cannot hold."""
    from mmft_data_check.tables_left import beyond_csv

    table = read_table(dataset, assignments)
    return table is not None and bool(beyond_csv(table))


@data.command()
@dataset_argument
@task_option
@setting_option
@output_option
@click.option(
    "--remove",
    multiple=True,
    metavar="KIND",
    help="Kind of finding whose samples to remove, as named in the JSON of `mmft data check`; can "
    "be repeated.  [default: those of samples that no model can use, and of copies]",
)
@click.option(
    "--raw",
    is_flag=True,
    help="Write the cells of OUTPUT.removed.csv as they are, without an apostrophe before those "
    "that a spreadsheet would run as a formula. OUTPUT.csv never has one.",
)
@click.option(
    "--longest",
    type=FiniteRange(min=0, min_open=True),
    metavar="LENGTH",
    help="Cut longer inputs into pieces, each with its part of the text; the unit is that of "
    "`mmft data check`, such as seconds. The pieces are written to OUTPUT.pieces/.",
)
@click.option(
    "--aligner",
    metavar="MODEL",
    help="Model that finds the text of each piece: a run, a folder of pretrained weights, or the "
    "name of a backbone.",
)
def clean(
    dataset: str,
    task: str | None,
    assignments: tuple[str, ...],
    output: Path,
    remove: tuple[str, ...],
    raw: bool,
    longest: float | None,
    aligner: str | None,
) -> None:
    """Write a table of DATASET without faulty samples; the data themselves are not changed.

    OUTPUT.removed.csv lists the samples that were left out, with the reason for each.

    \b
    mmft data clean ./photos -o photos.csv && mmft run --task image-cls --dataset photos.csv ...
    mmft data clean talks.csv --task asr --longest 30 --aligner ./whisper-tiny.en -o cut.csv
    """
    from mmft_data_check.cleaning import BY_DEFAULT, removals, write_removals
    from mmft_data_check.tables_left import check_form

    removed_file = output.with_suffix(".removed.csv")
    check_output(output, [output, removed_file])
    _check_cutting(longest, aligner, task)
    table = read_table(dataset, assignments)
    if table is not None and longest is None:
        check_form(output, table)
    chosen = chosen_data(dataset, task, assignments)
    long = None if longest is None else _long_inputs(chosen, longest, aligner, output, table)
    report = _checked(chosen)
    removed = removals(report.findings, remove or BY_DEFAULT)
    if long is None:
        left, more = _write_left(output, table, chosen, removed), []
    else:
        group = group_column(assignments)
        cut = _cut(long, output, table, removed, group)
        left, more = cut.rows, cut.removed
    write_removals(removed_file, [*removed, *more], raw=raw)
    kinds = Counter(finding.kind for finding in (*removed, *more))
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
    echo(
        f"{counted(left, 'sample')} left, {len(removed) + len(more):,} removed"
        f"{f': {told}' if told else ''}"
    )
    echo(f"table    {output}")
    echo(f"removed  {removed_file}")
    grouped = "" if long is None else f" --group {shlex.quote(cut.group)}"
    echo(f"use it   mmft run --dataset {shlex.quote(str(output))}{grouped} ...")


def _check_cutting(longest: float | None, aligner: str | None, task: str | None) -> None:
    """Raises:
    ConfigError: what is needed to cut is missing, or it is given and nothing is to be cut.
    """
    if longest is None and aligner is not None:
        raise ConfigError(
            "--aligner is only used with --longest.", hint="Also give --longest LENGTH."
        )
    if longest is not None and task is None:
        raise ConfigError(
            "--longest needs --task: it says whether the targets are texts, which are divided, or "
            "classes, which every piece has.",
            hint="Give --task asr, or another one.",
        )


def _long_inputs(
    chosen: Chosen, longest: float, aligner: str | None, output: Path, table: Table | None
) -> LongInputs:
    from mmft_data_check.cutting import LongInputs

    long = LongInputs.of(chosen, longest, aligner, output, table)
    if long.repeated:
        echo(
            f"! Only {long.modality} is cut: each piece repeats the other inputs of its row "
            f"({', '.join(long.repeated)}) as a whole.",
            err=True,
        )
    return long


def _write_left(
    output: Path, table: Table | None, chosen: Chosen, removed: Sequence[Finding]
) -> int:
    """Write the table of the samples that are left; return their number."""
    from mmft_data_check.cleaning import rows_left
    from mmft_data_check.tables_left import (
        kept_rows,
        rows_of_table,
        write_rows,
        write_rows_of,
    )

    folder = output.absolute().parent
    kept = kept_rows(table, {f.id for f in removed}) if table is not None else None
    if table is not None and kept is not None:
        texts = rows_of_table(table, folder)
        rows = [texts[k] for k in kept]
        write_rows_of(output, table, kept, rows)
    else:
        rows = rows_left(chosen.dataset, chosen.inspectors, chosen.target, folder, removed)
        write_rows(output, rows)
    return len(rows)


def _cut(
    long: LongInputs,
    output: Path,
    table: Table | None,
    removed: Sequence[Finding],
    group: str | None,
) -> Cut:
    """Cut what is too long, and report the result."""
    with progress("cutting") as on_progress:
        cut = long.write(output, table, removed, group, on_progress)
    for finding in cut.removed:
        echo(f"! {finding.id}: {finding.text}", err=True)
    echo(f"{cut.inputs:,} cut into {counted(cut.pieces, 'piece')}, in {long.folder}")
    return cut


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of something."""
    from mmft_core.cli import console, make_display

    with contextlib.closing(make_display(console(stderr=True))) as display:
        yield lambda done, total: display.on_evaluation_progress(what, done, total)


def _checked(chosen: Chosen) -> Report:
    from mmft_data_check.checking import check as run_check

    with progress("data check") as on_progress:
        return run_check(chosen.dataset, chosen.inspectors, chosen.target, on_progress)


def _with_learning(report: Report, chosen: Chosen, plan: Plan) -> Report:
    """A report with what a model would learn of each sample."""
    from mmft_data_check.learning import look_at_learning

    with progress("tokens") as on_progress:
        counts, findings = look_at_learning(chosen.dataset, plan, on_progress)
    splits = {
        name: replace(facts, learned=counts.get(name, ())) for name, facts in report.splits.items()
    }
    return replace(report, splits=splits, findings=[*report.findings, *findings])
