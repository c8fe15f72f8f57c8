"""`mmft run`: reads options and TOML files, and makes a run directory."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mmft_core.cli.settings import (
    flag_settings,
    notice,
    read_settings,
    setting_options,
)
from mmft_core.cli.terminal import echo
from mmft_core.config.given import refuse_idle, take_output
from mmft_core.config.options import as_written
from mmft_core.config.plan import Plan
from mmft_core.config.resolving import make_plan
from mmft_core.discovery import discover
from mmft_core.distributed import comm
from mmft_core.errors import ConfigError, DataError
from mmft_core.registry import Registry
from mmft_core.run.directory import RunDirectory, default_output
from mmft_core.run.resumed import resumed_tree

if TYPE_CHECKING:
    from rich.console import Console

    from mmft_core.contracts.callbacks import Callback


@click.command()
@setting_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Run directory to write to.  [default: runs/TASK-BACKBONE-TIME]",
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN_DIR", help="Resume this run."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the resolved settings, the data and the expected memory, and stop before training.",
)
@click.option("--strict-plugins", is_flag=True, help="Exit with an error if any plugin is broken.")
def run(
    output: Path | None,
    resume: Path | None,
    dry_run: bool,
    strict_plugins: bool,
    **given: Any,
) -> None:
    """Fine-tune a backbone on a data set, evaluate it, and write everything to one folder.

    \b
    mmft run --task image-cls --backbone resnet18                    on the built-in digits
    mmft run --task image-cls --backbone resnet50 --dataset ./photos
    mmft run -c run.toml --set engine.lr=3e-4
    mmft run --task image-cls --backbone resnet18 --folds 5          cross-validation
    mmft run --resume runs/image-cls-resnet50-20260131-154501

    `mmft plugins` lists tasks, backbones, datasets and metrics; `mmft plugins show NAME` their
    options.
    """
    comm.join()
    registry = discover(strict=strict_plugins)
    tree = read_settings(given, registry)
    if resume is not None:
        if output is not None:
            raise ConfigError(
                "--resume continues in the run's own folder.", hint="Leave out --output."
            )
        tree = resumed_tree(resume, tree, registry, notice)
    output = take_output(tree, output)
    with as_written() if resume is not None else contextlib.nullcontext():
        plan = make_plan(tree, registry)
    refuse_idle(flag_settings(given, registry), plan)
    if dry_run:
        from mmft_core.cli.dry_run import show_plan

        if comm.is_main():
            show_plan(plan)
        return
    _train(plan, registry, output, resume)


def check_run(arguments: Sequence[str]) -> None:
    """Check a run before it waits in a queue: its flags, names and settings.

    Files and data may be on other machines, so it is no mistake if they are not here.

    Args:
        arguments: of `mmft run`.

    Raises:
        click.UsageError: there is no such flag.
        MmftError: a name or a setting is wrong.
    """
    given = run.make_context("mmft run", list(arguments)).params
    config = given["config"]
    if given["resume"] is not None or (config is not None and not config.exists()):
        return
    registry = discover()
    tree = read_settings(given, registry)
    take_output(tree, given["output"])
    with contextlib.suppress(DataError):
        refuse_idle(flag_settings(given, registry), make_plan(tree, registry))


def _train(plan: Plan, registry: Registry, output: Path | None, resume: Path | None) -> None:
    """Train with a display, then print the results."""
    if output is not None and resume is None and plan.folds is None:
        RunDirectory(output).ensure_usable()  # Before torch is imported, which takes seconds.
    names = [part.component.name for part in plan.backbones.values()]
    path = (
        resume or output or comm.from_main(lambda: default_output(plan.task.component.name, names))
    )
    folds = plan.folds is not None and plan.folds.chosen is None
    try:
        _train_in(path, plan, registry, folds=folds, resume=resume is not None)
    except KeyboardInterrupt:
        _abort(RunDirectory(path), folds=folds)


def _train_in(path: Path, plan: Plan, registry: Registry, *, folds: bool, resume: bool) -> None:
    from mmft_core.engine.memory import tune_allocator

    tune_allocator()  # Before torch allocates anything.
    from mmft_core.cli.display import make_display
    from mmft_core.cli.summary import print_summary
    from mmft_core.cli.tables import console
    from mmft_core.run import runner

    screen = console(quiet=not comm.is_main())
    command = shlex.join(["mmft", *sys.argv[1:]])
    if folds:
        _cross_validate(plan, registry, path, screen, command, resume=resume)
        return
    display = make_display(screen)
    outcome = (
        runner.resume(path, plan, [display], command)
        if resume
        else runner.train(plan, path, [display], command)
    )
    if outcome.results is None:
        step, total = outcome.fit.progress.step, outcome.fit.total_steps
        _stop(f"Stopped at step {step} of {total}; a checkpoint is written.", path)
    elif comm.is_main():
        print_summary(outcome.results, path)


def _cross_validate(
    plan: Plan, registry: Registry, path: Path, screen: Console, command: str, *, resume: bool
) -> None:
    from mmft_core.cli.display import make_display
    from mmft_core.cli.summary import print_folds
    from mmft_core.run.cross_validation import cross_validate

    def make_callbacks(heading: str) -> list[Callback]:
        screen.print(heading, style="bold", soft_wrap=True)
        return [make_display(screen)]

    record = cross_validate(plan, path, registry, make_callbacks, command, resume=resume)
    if record is None:
        _stop("Stopped; finished folds are kept, and a checkpoint is written.", path)
    elif comm.is_main():
        print_folds(record, path)


def _abort(run: RunDirectory, *, folds: bool) -> None:
    """Say what is left of a run that was interrupted twice, or while it did not train."""
    from mmft_core.engine import checkpoint

    if not run.config.exists():
        _stop("Aborted before anything was saved.")
    if run.results.exists():
        _stop("Aborted; the run itself is finished.")
    if folds:
        left = "; any finished folds and checkpoints are kept."
    elif checkpoint.found(run.checkpoints):
        left = "; the last checkpoint is kept."
    else:
        left = " before the first checkpoint; training will start from the beginning."
    _stop(f"Aborted{left}", run.path)


def _stop(what: str, path: Path | None = None) -> NoReturn:
    """Args:
    path: of the run, if it can be resumed.
    """
    if comm.is_main():
        go_on = "" if path is None else f" Resume with: mmft run --resume {shlex.quote(str(path))}"
        echo(what + go_on)
    sys.exit(130)
