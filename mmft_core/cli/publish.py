"""`mmft publish`: a finished run as a folder for a model hub, and its way there."""

from __future__ import annotations

from pathlib import Path

import click

from mmft_core.cli.finite import FiniteRange
from mmft_core.cli.terminal import echo
from mmft_core.errors import ConfigError
from mmft_core.run_directory import RunDirectory

_POSITIVE = FiniteRange(min=0, min_open=True)


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A new folder. Default: the name in --repo, or RUN_DIR-published.",
)
@click.option("--licence", default="", help="SPDX, as apache-2.0. Default: none is given.")
@click.option("--repo", default="", metavar="USER/NAME", help="Its id on the Hub.")
@click.option("--push", is_flag=True, help="Push it there, with the token of `hf auth login`.")
@click.option("--private", is_flag=True, help="Only you and yours can see it.")
@click.option("--update", is_flag=True, help="The repository may be there already.")
@click.option(
    "--power",
    type=_POSITIVE,
    metavar="WATTS",
    help="Of all hardware, on average, for the estimate.",
)
@click.option(
    "--carbon-intensity",
    type=FiniteRange(min=0),
    metavar="G/KWH",
    help="Of the grid. Default: the world's, 473 g CO2e/kWh.",
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
    """Make a folder of a finished run that a model hub takes: weights, what they need, a card.

    \b
    mmft publish runs/flowers -o flowers --licence apache-2.0
    mmft publish runs/flowers --repo me/flowers --licence apache-2.0 --push --private
    mmft predict flowers photo.jpg

    The folder is used like a run. The card tells of data, figures, settings, time and, by an
    estimate, of energy and CO2. Paths of this machine are shortened to their last part.
    """
    from mmft_core import hub
    from mmft_core.cli.summary import next_command
    from mmft_core.report.licences import spdx
    from mmft_core.sharing.publish import Wanted, publish

    if repo:
        hub.check_id(repo)
    if (push or private or update) and not repo:
        raise ConfigError("--push, --private and --update need --repo USER/NAME.")
    if (private or update) and not push:
        raise ConfigError("--private and --update are for --push.")
    output = output or Path(repo.partition("/")[2] or f"{run_dir.resolve().name}-published")
    wanted = Wanted(licence=spdx(licence), repo=repo, watts=power, intensity=carbon_intensity)
    token = hub.check_access() if push else ""
    publish(run_dir, output, wanted)
    use = next_command(RunDirectory(run_dir).read_results(), output)
    echo(f"folder  {output}")
    echo(f"use it  {use}")
    if not licence:
        echo("! no licence was given, so nobody may use it; --licence gives one", err=True)
    if push:
        address = hub.push(output, repo, token, private=private, update=update)
        echo(f"pushed  {address}")
