"""`mmft publish`: a finished run as a folder for a model hub, and its way there."""

from __future__ import annotations

from pathlib import Path

import click

from mmft_core.cli import FiniteRange, echo
from mmft_core.errors import ConfigError
from mmft_core.run import RunDirectory

_POSITIVE = FiniteRange(min=0, min_open=True)


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="New folder to write to.  [default: the name in --repo, or RUN_DIR-published]",
)
@click.option("--licence", default="", help="SPDX licence identifier, such as apache-2.0.")
@click.option("--repo", default="", metavar="USER/NAME", help="Repository on the Hugging Face Hub.")
@click.option(
    "--push", is_flag=True, help="Push to the repository, with the token of `hf auth login`."
)
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--update", is_flag=True, help="Update a repository that exists already.")
@click.option(
    "--power",
    type=_POSITIVE,
    metavar="WATTS",
    help="Average power of all hardware, for the energy estimate.",
)
@click.option(
    "--carbon-intensity",
    type=FiniteRange(min=0),
    metavar="G/KWH",
    help="Carbon intensity of the grid.  [default: the world's average, 473]",
)
def publish(
    run_dir: Path,
    output: Path | None,
    licence: str,
    repo: str,
    push: bool,
    private: bool,
    update: bool,
    power: float | None,
    carbon_intensity: float | None,
) -> None:
    """Make a folder for a model hub from a finished run: weights, configuration and a model card.

    \b
    mmft publish runs/flowers -o flowers --licence apache-2.0
    mmft publish runs/flowers --repo me/flowers --licence apache-2.0 --push --private
    mmft predict flowers photo.jpg

    The folder can be used like a run. The card states data, metrics, settings, time, and estimates
    of energy and CO2. Paths of this machine are shortened to their last part.
    """
    from mmft_core.cli import next_command
    from mmft_core.weights import hub
    from mmft_publish.publish import PublishRequest, publish
    from mmft_report.licences import spdx

    if repo:
        hub.check_id(repo)
    if (push or private or update) and not repo:
        raise ConfigError("--push, --private and --update need --repo USER/NAME.")
    if (private or update) and not push:
        raise ConfigError("--private and --update need --push.")
    output = output or Path(repo.partition("/")[2] or f"{run_dir.resolve().name}-published")
    request = PublishRequest(
        licence=spdx(licence), repo=repo, watts=power, intensity=carbon_intensity
    )
    token = hub.check_access() if push else ""
    publish(run_dir, output, request)
    use = next_command(RunDirectory(run_dir).read_results(), output)
    echo(f"folder  {output}")
    echo(f"use it  {use}")
    if not licence:
        echo("! no licence was given, so nobody may use it; give one with --licence", err=True)
    if push:
        address = hub.push(output, repo, token, private=private, update=update)
        echo(f"pushed  {address}")
