"""`mmft runs`: existing runs, listed and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from mmft_core.cli import echo, echo_json
from mmft_core.errors import ConfigError, RunDirectoryError, did_you_mean
from mmft_report.runs.finding import Run, State, find_runs

_SORTS = ("name", "state", "task", "backbone", "dataset", "time", "size", "changed")


class _ListsByDefault(click.Group):
    """`mmft runs FOLDER` is short for `mmft runs list FOLDER`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListsByDefault)
def runs() -> None:
    """List and compare runs, including folds and trials.

    \b
    mmft runs                              all in runs/
    mmft runs sweeps/photos --sort test/accuracy
    mmft runs compare runs/A runs/B --html both.html
    """


@runs.command(name="list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--task", help="List only runs of this task.")
@click.option("--state", type=click.Choice(get_args(State)), help="List only runs in this state.")
@click.option(
    "--sort",
    default="changed",
    metavar="|".join((*_SORTS, "SPLIT/METRIC")),
    help="Sort by this column, newest or largest first.  [default: changed]",
)
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(
    folder: Path, task: str | None, state: str | None, sort: str, reverse: bool, as_json: bool
) -> None:
    """List the runs below a folder (default: runs/)."""
    found = [
        run for run in find_runs(folder) if task in (None, run.task) and state in (None, run.state)
    ]
    found = _sorted(found, sort, reverse)
    if as_json:
        echo_json([_record(run) for run in found], indent=2)
    elif found:
        from mmft_report.run_tables import print_runs

        print_runs(found)
    else:
        echo(f"There are no matching runs in {folder}.")


@runs.command()
@click.argument("paths", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with their curves to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(paths: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Compare runs: their metrics side by side, and the settings in which they differ.

    A sweep, or any folder of runs, stands for all runs in it.
    """
    from mmft_report.runs.differences import figures_of, settings_of

    found = [run for path in paths for run in _compared(path)]
    if len(found) < 2:
        raise ConfigError(
            "There is nothing to compare a single run with.",
            hint="Give two runs or more, or a folder that holds them.",
        )
    figures, settings = figures_of(found), settings_of(found)
    if as_json:
        record = {
            "runs": [_record(run) for run in found],
            "figures": {f"{split}/{name}": v for (split, name), v in figures.items()},
            "settings": settings,
        }
        echo_json(record, indent=2, default=str)
    else:
        from mmft_report.run_tables import print_comparison

        print_comparison(found, figures, settings)
    if html is not None:
        from mmft_report.runs.page import write_page

        write_page(html, found)
        echo(f"page    {html}", err=as_json)


def _compared(path: Path) -> list[Run]:
    """The run of a path, or of a name below runs/; all runs of a folder that is not a run."""
    if not path.exists() and (Path("runs") / path).exists():
        path = Path("runs") / path
    found = find_runs(path)
    if not found:
        raise RunDirectoryError(
            f"{path} holds no run.", hint="Give the folder that `mmft run` made."
        )
    own = [run for run in found if run.path == path]
    damaged = [run for run in own or found if run.state == "damaged"]
    if damaged:
        raise RunDirectoryError(
            f"{damaged[0].path} cannot be compared: {damaged[0].reason}",
            hint="Leave it out, or take the damaged file from a copy.",
        )
    return own or [run for run in found if not any(_part_of(run, other) for other in found)]


def _part_of(run: Run, other: Run) -> bool:
    return other.kind == "folds" and other.path in run.path.parents


def _sorted(found: Sequence[Run], sort: str, reverse: bool) -> list[Run]:
    """By a column, or by a figure; runs that lack it come last.

    Raises:
        ConfigError: there is no such column or figure.
    """
    figures = {
        f"{split}/{name}" for run in found for split in run.figures for name in run.figures[split]
    }
    if sort not in _SORTS and (sort not in figures and found):
        known = [*_SORTS, *sorted(figures)]
        raise ConfigError(
            f"--sort {sort} is neither a column nor a metric of these runs."
            f"{did_you_mean(sort, known)}",
            hint=f"There are: {', '.join(known)}.",
        )
    keys = [(run, _key(run, sort)) for run in found]
    first_largest = sort not in ("name", "state", "task", "backbone", "dataset")
    known_ones = [pair for pair in keys if pair[1] is not None]
    known_ones.sort(key=lambda pair: pair[1], reverse=first_largest != reverse)
    return [run for run, _ in known_ones] + [run for run, key in keys if key is None]


def _key(run: Run, sort: str) -> Any:
    split, _, name = sort.partition("/")
    columns = {
        "name": run.name,
        "state": run.state,
        "task": run.task,
        "backbone": run.backbones,
        "dataset": run.dataset,
        "time": run.seconds,
        "size": run.size,
        "changed": run.changed,
    }
    return columns[sort] if sort in columns else run.figures.get(split, {}).get(name)


def _record(run: Run) -> dict[str, Any]:
    passed_over = ("config", "results", "path")
    return {"path": str(run.path)} | {k: v for k, v in vars(run).items() if k not in passed_over}
