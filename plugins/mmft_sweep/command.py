"""`mmft sweep`: the best settings, by trying many."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core import Registry, discover
from mmft_core.cli import echo, flag_settings, notice, read_settings, setting_options
from mmft_core.config import given_places, merge, nest, refuse_idle, resumed_settings, take_output
from mmft_core.errors import ConfigError
from mmft_core.run import default_output
from mmft_core.utils import missing_error, require_extra
from mmft_sweep.fitting import fit, plan_trial, refuse_fixed, refuse_set
from mmft_sweep.folder import SweepFolder, SweepSettings
from mmft_sweep.space import Space, parse_space, space_of

if TYPE_CHECKING:
    from rich.console import Console

    from mmft_core.contracts import Callback
    from mmft_sweep.study import Study


@click.command()
@setting_options
@click.option(
    "--vary",
    multiple=True,
    metavar="KEY=RANGE",
    help="Setting to tune and its range: engine.lr=1e-5..1e-2:log, engine.epochs=5..20:5, "
    "task.mixup=0,0.2; can be repeated.",
)
@click.option(
    "--trials", type=click.IntRange(min=1), help="Total trials across all workers.  [default: 20]"
)
@click.option(
    "--pruner",
    type=click.Choice(["none", "median", "hyperband"]),
    help="How to stop unpromising trials early.  [default: median]",
)
@click.option(
    "--keep",
    type=click.Choice(["all", "best"]),
    help="Trials whose models to keep.  [default: best]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trials to run in parallel.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the sweep.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Resume or join this sweep."
)
@click.option("--strict-plugins", is_flag=True, help="Exit with an error if any plugin is broken.")
def sweep(
    vary: tuple[str, ...],
    trials: int | None,
    pruner: str | None,
    keep: str | None,
    jobs: int,
    output: Path | None,
    resume: Path | None,
    strict_plugins: bool,
    **given: Any,
) -> None:
    """Tune settings with Optuna: run many trials and keep the best.

    \b
    mmft sweep --task image-cls --backbone resnet18 --trials 20 \\
        --vary engine.lr=1e-5..1e-2:log --vary engine.batch_size=16,32,64 -o sweeps/digits
    mmft sweep --resume sweeps/digits --trials 40    resume, or join from another terminal

    Trials are compared by the monitored metric on val; with --folds K by its mean over the folds.
    Finished trials are compared on all of val. With engine.eval_samples, the pruner and each
    trial's choice of its best step see the metric on that part of val.
    """
    _require_optuna()
    registry = discover(strict=strict_plugins)
    changes: dict[str, Any] = {
        name: value
        for name, value in (("trials", trials), ("pruner", pruner), ("keep", keep))
        if value is not None
    }
    if resume is not None:
        if output is not None:
            raise ConfigError(
                "--resume continues in the sweep's own folder.", hint="Leave out --output."
            )
        folder = SweepFolder(resume)
        settings = _resumed(folder, vary, given, registry)
    else:
        folder, settings = _started(vary, given, output, registry)
    settings = replace(settings, **changes)
    space = fit(space_of(settings.vary), settings.base, registry)
    _sweep(folder, settings, space, jobs, trials, registry)


def _require_optuna() -> None:
    """Raises:
    MissingExtraError: it is not installed.
    """
    require_extra("`mmft sweep`", "sweep")
    if importlib.util.find_spec("optuna") is None:  # The installation does not know this extra.
        raise missing_error("`mmft sweep`", ["sweep"], "mmft")


def _started(
    vary: tuple[str, ...], given: Mapping[str, Any], output: Path | None, registry: Registry
) -> tuple[SweepFolder, SweepSettings]:
    """The sweep of the command line, which may be there already."""
    space = parse_space(vary)
    refuse_fixed(space)
    flags = flag_settings(given, registry)
    refuse_set(space, flags)
    base = read_settings(given, registry)
    output = take_output(base, output)
    settings = SweepSettings(base=base, vary=space.texts())
    plan = plan_trial(base, space.first, registry)
    if "engine.tune" not in space.first:
        refuse_idle(merge(flags, nest(space.first)), plan)
    if output is None:
        names = [part.component.name for part in plan.backbones.values()]
        output = Path("sweeps") / default_output(plan.task.component.name, names).name
    folder = SweepFolder(output)
    if not folder.exists():
        folder.ensure_usable()
        return folder, settings
    folder.check_same(settings)
    return folder, folder.read()


def _resumed(
    folder: SweepFolder, vary: tuple[str, ...], given: Mapping[str, Any], registry: Registry
) -> SweepSettings:
    """The sweep of the folder, which nothing on the command line may contradict."""
    stored = folder.read()
    base = resumed_settings(
        folder.path, stored.base, read_settings(given, registry), registry, notice
    )
    if vary:
        folder.check_same(replace(stored, vary=parse_space(vary).texts()))
    return replace(stored, base=base)


def _sweep(
    folder: SweepFolder,
    settings: SweepSettings,
    space: Space,
    jobs: int,
    trials: int | None,
    registry: Registry,
) -> None:
    """Join the study with as many processes as `jobs`, then show the results.

    Args:
        trials: after this many the command ends; None for as many as the sweep is for.
    """
    from mmft_core.engine import tune_allocator

    tune_allocator()  # Before torch allocates anything.
    from mmft_core.cli import console
    from mmft_core.engine import choose_monitor
    from mmft_core.run import Callbacks
    from mmft_sweep.study import Study
    from mmft_sweep.trial import TrialStoppedError, check_data

    first = plan_trial(settings.base, space.first, registry)
    Callbacks(first, folder.path).prepare()
    check_data(first, folder.begun())
    monitor = choose_monitor(first)
    settings = folder.join(settings, given_places(settings.base, first))
    study = Study(folder, space, monitor, settings.pruner, first.engine.seed)
    screen = console()
    try:
        _work(folder, settings, study, jobs, trials, registry, screen)
    except (TrialStoppedError, KeyboardInterrupt):
        _show(folder, settings, study)
        echo(f"Stopped. Resume with: {_go_on(folder)}")
        sys.exit(130)
    _show(folder, settings, study)
    if trials is not None and trials < (wanted := folder.read().trials):
        echo(
            f"This command had --trials {trials}, but the sweep is for {wanted} in total. "
            f"Resume with: {_go_on(folder)}"
        )


def _go_on(folder: SweepFolder) -> str:
    return f"mmft sweep --resume {shlex.quote(str(folder.path))}"


def _work(
    folder: SweepFolder,
    settings: SweepSettings,
    study: Study,
    jobs: int,
    trials: int | None,
    registry: Registry,
    screen: Console,
) -> None:
    from mmft_core.cli import make_display
    from mmft_sweep.jobs import Jobs
    from mmft_sweep.trial import TrialRunner
    from mmft_sweep.work import Worker

    def display(heading: str) -> Callback:
        if heading:
            tell(heading)
        return make_display(screen)

    def tell(text: str) -> None:
        screen.print(text, style="bold", soft_wrap=True)

    runner = TrialRunner(
        folder=folder,
        registry=registry,
        monitor=study.monitor.name,
        display=display,
        command=shlex.join(["mmft", *sys.argv[1:]]),
    )
    with Jobs(folder, jobs, trials, tell) as others:
        worker = Worker(
            study=study,
            runner=runner,
            base=settings.base,
            trials=trials,
            tell=tell,
            check=others.check,
        )
        worker.work()
        others.wait()
        worker.work()  # Trials that a killed worker has left.


def _show(folder: SweepFolder, settings: SweepSettings, study: Study) -> None:
    from mmft_sweep.page import write_page
    from mmft_sweep.record import write_record
    from mmft_sweep.summary import print_sweep

    with folder.alone():
        record = write_record(folder, study, settings.base, importance=True)
        write_page(folder, record)
    print_sweep(record, folder.path)
