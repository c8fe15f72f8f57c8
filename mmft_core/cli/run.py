"""`mmft run`: flags and TOML in, a finished run directory out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core.config import Tree, flatten, merge, nest, parse_set, read_toml
from mmft_core.discovery import discover
from mmft_core.errors import ConfigError, RunDirectoryError
from mmft_core.layers import combine
from mmft_core.plan import Plan, resolve
from mmft_core.run_directory import RunDirectory, default_output

if TYPE_CHECKING:
    from mmft_core.runner import RunOutcome

# Flags that are short for a setting of the configuration.
_FLAGS = {
    "epochs": "engine.epochs",
    "batch_size": "engine.batch_size",
    "lr": "engine.lr",
    "tune": "engine.tune",
    "seed": "engine.seed",
    "weights": "backbone.weights",
    "data_root": "dataset.root",
    "on_bad_sample": "on_bad_sample",
    "task": "task.name",
    "dataset": "dataset.name",
}


@click.command()
@click.option("-c", "--config", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--task", help="What to learn: image-cls, ...")
@click.option(
    "--backbone", multiple=True, metavar="[MODALITY=]NAME", help="The network to start from."
)
@click.option("--dataset", metavar="NAME|PATH", help="A data set, a folder, or a table.")
@click.option("--metric", multiple=True, help="A metric; repeatable. Default: the task's.")
@click.option("--weights", metavar="auto|pretrained|none|PATH", help="Weights to start from.")
@click.option("--tune", metavar="full|head|last:N|gradual|lora", help="What is trained.")
@click.option("--epochs", type=int, help="Passes over the training data.")
@click.option("--batch-size", type=int)
@click.option("--lr", type=float, help="Peak learning rate.")
@click.option("--seed", type=int)
@click.option("--data-root", metavar="DIR", help="Where published data sets are kept.")
@click.option("--on-bad-sample", type=click.Choice(["fail", "skip"]), help="Default: fail.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting: engine.lr=3e-4, backbone.image_size=128, task.mixup=0.2.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The run directory.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN_DIR", help="Go on with this run."
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@click.option("--strict-plugins", is_flag=True, help="A broken plugin is an error.")
def run(
    config: Path | None,
    backbone: tuple[str, ...],
    metric: tuple[str, ...],
    assignments: tuple[str, ...],
    output: Path | None,
    resume: Path | None,
    dry_run: bool,
    strict_plugins: bool,
    **flags: Any,
) -> None:
    """Fine-tune a backbone on a data set, evaluate it, and keep all of it in a folder.

    \b
    mmft run --task image-cls --backbone resnet18                    on the built-in digits
    mmft run --task image-cls --backbone resnet50 --dataset ./photos
    mmft run -c run.toml --set engine.lr=3e-4
    mmft run --resume runs/image-cls-resnet50-20260131-154501

    `mmft plugins` lists tasks, backbones, datasets and metrics; `mmft plugins show NAME` their
    options.
    """
    registry = discover(strict=strict_plugins)
    layers = (
        read_toml(config) if config else {},
        _flag_tree(flags, backbone, metric),
        parse_set(assignments),
    )
    tree = combine(layers, registry)
    if resume is not None:
        if output is not None:
            raise ConfigError("--resume goes on in its own folder.", hint="Leave out --output.")
        tree = _resumed_tree(resume, tree)
    output = _take_output(tree, output)
    plan = resolve(tree, registry)
    if dry_run:
        from mmft_core.cli.dry_run import show_plan

        show_plan(plan)
        return
    _train(plan, output, resume)


def _train(plan: Plan, output: Path | None, resume: Path | None) -> None:
    """Train with a display, then print what came of it."""
    from mmft_core.memory import tune_allocator

    tune_allocator()  # Before torch allocates anything.
    from rich.console import Console

    from mmft_core import runner
    from mmft_core.cli.display import make_display

    console = Console()
    display = make_display(console)
    command = shlex.join(["mmft", *sys.argv[1:]])
    names = [part.component.name for part in plan.backbones.values()]
    try:
        if resume is not None:
            outcome = runner.resume(resume, plan, display, command)
        else:
            path = output or default_output(plan.task.component.name, names)
            outcome = runner.train(plan, path, display, command)
    finally:
        display.close()
    _conclude(outcome)


def _conclude(outcome: RunOutcome) -> None:
    from mmft_core.cli.summary import print_summary

    path = outcome.directory.path
    if outcome.results is None:
        click.echo(
            f"Stopped at step {outcome.fit.progress.step} of {outcome.fit.total_steps}; "
            f"a checkpoint is written. Go on with: mmft run --resume {shlex.quote(str(path))}"
        )
        sys.exit(130)
    print_summary(outcome.results, path)


def _flag_tree(flags: dict[str, Any], backbones: tuple[str, ...], metrics: tuple[str, ...]) -> Tree:
    tree = nest({_FLAGS[flag]: value for flag, value in flags.items() if value is not None})
    for choice in backbones:
        modality, equals, name = choice.rpartition("=")
        below = {modality: {"name": name}} if equals else {"name": name}
        tree = merge(tree, {"backbone": below})
    plain = [choice for choice in backbones if "=" not in choice]
    if len(plain) > 1:
        raise ConfigError(
            f"Several backbones were given without their modality: {', '.join(plain)}.",
            hint="Write --backbone image=NAME --backbone text=NAME.",
        )
    return merge(tree, {"metrics": list(metrics)} if metrics else {})


def _take_output(tree: Tree, output: Path | None) -> Path | None:
    value = tree.pop("output", None)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"output = {value!r} is not a path.")
    return output or (Path(value).expanduser() if value else None)


def _resumed_tree(path: Path, given: Tree) -> Tree:
    """The configuration of the run, which nothing on the command line may contradict."""
    directory = RunDirectory(path)
    stored = directory.open()
    if directory.results.exists():
        raise RunDirectoryError(
            f"The run in {path} is finished.",
            hint="To train its model further, start a new run with "
            f"--weights {path} on the same backbone.",
        )
    known = flatten(stored)
    for key, value in flatten(given).items():
        if not _same_setting(key, value, known):
            now = next((v for k, v in known.items() if _matches(key, k)), "not set")
            raise ConfigError(
                f"{key} is {now!r} in {path} and {value!r} on the command line.",
                hint="Resuming repeats the run's own configuration: leave the option out, or "
                "start a new run.",
            )
    return stored


def _same_setting(key: str, value: Any, known: Tree) -> bool:
    return any(
        _matches(key, k) and (v == value or str(v).rpartition("/")[2] == value)
        for k, v in known.items()
    )


def _matches(key: str, stored: str) -> bool:
    """Whether a key means a stored one: "backbone.weights" that of any modality."""
    if key == stored:
        return True
    first, _, last = key.partition(".")
    return first == "backbone" and stored.startswith("backbone.") and stored.endswith(f".{last}")
