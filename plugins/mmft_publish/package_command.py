"""`mmft package`: the backbone of a finished run as a pip package."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mmft_core import discover
from mmft_core.cli import echo
from mmft_core.errors import ConfigError
from mmft_core.utils import require_extra


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the new backbone, for --backbone.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="New folder to write to.  [default: the name]",
)
@click.option(
    "--modality",
    "modalities",
    multiple=True,
    help="Modality whose backbone to package, if the model has several; can be repeated.",
)
@click.option("--version", default="0.1.0", show_default=True, help="Version of the package.")
@click.option("--licence", default="", help="SPDX licence identifier, such as apache-2.0.")
@click.option("--wheel", is_flag=True, help="Build the wheel as well. Needs the extra `package`.")
def package(
    run_dir: Path,
    name: str,
    output: Path | None,
    modalities: tuple[str, ...],
    version: str,
    licence: str,
    wheel: bool,
) -> None:
    """Make a pip package from a finished run: a plugin that registers the fine-tuned backbone.

    \b
    mmft package runs/flowers --name my-resnet --wheel
    pip install my-resnet/dist/*.whl
    mmft run --task image-cls --backbone my-resnet --dataset ./others

    The package starts from the weights of the run (`--weights auto`). It contains neither the
    task's head nor pickled data, and needs mmft and the plugin of the original backbone.
    """
    from mmft_publish import building
    from mmft_publish.package import PackageRequest, package
    from mmft_report.licences import spdx

    output = output or Path(name)
    request = PackageRequest(
        name=name, version=_version(version), licence=spdx(licence), modalities=modalities
    )
    if wheel:
        require_extra("--wheel", "package")
    names = package(run_dir, output, request, discover())
    echo(f"package  {output} ({names.distribution} {request.version})")
    # pip takes a bare name for one of the package index.
    target = shlex.quote(str(output) if output.is_absolute() else f"./{output}")
    if wheel:
        built = building.build_wheel(output)
        echo(f"wheel    {built}")
        target = shlex.quote(str(built))
    echo(f"install  pip install {target}")
    for modality, backbone in names.backbones.items():
        several = f"{modality}=" if len(names.backbones) > 1 else ""
        echo(f"use      mmft run --backbone {several}{backbone} ...")


def _version(given: str) -> str:
    """Raises:
    ConfigError: it is not a version that pip accepts.
    """
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(given))
    except InvalidVersion:
        raise ConfigError(
            f"--version '{given}' is not a version that pip accepts.", hint="For example: 0.2.0"
        ) from None
