"""`mmft export`: a finished run in a format that other software computes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core import discover
from mmft_core.cli import FiniteRange, echo, echo_json, later_settings, set_option
from mmft_core.run import RunDirectory
from mmft_core.utils import counted

if TYPE_CHECKING:
    from mmft_export.comparison import Comparison


_HARDLY = 0.9
"""Of its size, what an export in 8 bits has left where hardly anything was quantized."""


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    metavar="FORMAT",
    default="onnx",
    show_default=True,
    help="Format of the export, such as onnx, torch-export, litert or safetensors; "
    "`mmft plugins --kind exporter` lists all.",
)
@click.option(
    "--quantize",
    metavar="int8|int8-static",
    help="Quantize an ONNX export to 8 bits: dynamically, or with ranges measured on training "
    "data.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to write to.  [default: RUN_DIR/export/FORMAT[-QUANTIZE]]",
)
@click.option(
    "--dataset", metavar="NAME|PATH", help="Data to compare on.  [default: the run's test split]"
)
@set_option("A setting to change, such as dataset.text_column=title; can be repeated.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Samples on which the export is compared with the run.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Batch size for which latency is measured, besides 1.",
)
@click.option(
    "--max-drop",
    type=FiniteRange(min=0),
    default=0.02,
    show_default=True,
    help="How much worse the monitored metric of the export may be.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def export(
    run_dir: Path,
    kind: str,
    quantize: str | None,
    output: Path | None,
    dataset: str | None,
    assignments: tuple[str, ...],
    samples: int,
    batch_size: int,
    max_drop: float,
    as_json: bool,
) -> None:
    """Export a finished run, and compare the export with the run on real samples.

    \b
    mmft export runs/flowers                               ONNX, for ONNX Runtime
    mmft export runs/flowers --quantize int8-static
    mmft export runs/flowers --format torch-export
    mmft export runs/texts --format safetensors            for transformers, torchvision
    mmft predict runs/flowers/export/onnx photo.jpg        also mmft eval, mmft serve

    An export whose results differ from the run's is refused.
    """
    registry = discover()

    from mmft_core.cli import console, make_display, next_command
    from mmft_export.exporting import export as make
    from mmft_export.folder import describe
    from mmft_export.request import ExportRequest

    request = ExportRequest(
        kind=kind,
        quantize=quantize,
        output=output,
        dataset=dataset,
        settings=later_settings(assignments, ("dataset",)),
        samples=samples,
        batch_size=batch_size,
        most=max_drop,
    )
    display = make_display(console(stderr=True))
    try:
        folder, found = make(run_dir, request, registry, display)
    finally:
        display.close()
    if as_json:
        echo_json({"folder": str(folder), **asdict(found)})
        return
    _show(found, request.place(run_dir).name)
    if quantize == "int8" and found.export.megabytes > _HARDLY * found.torch.megabytes:
        echo(
            "! int8 leaves convolutions in full precision, and this network is made of them; "
            "--quantize int8-static quantizes them as well",
            err=True,
        )
    for note in describe(folder).notes:
        echo(f"! {note}", err=True)
    echo(f"export  {folder}")
    echo(f"use it  {next_command(RunDirectory(run_dir).read_results(), folder)}")


def _show(found: Comparison, name: str) -> None:
    from mmft_core.cli import Column, Table, console

    table = Table("", *(Column(heading, number=True) for heading in ("torch", name, "")))
    mine, other = found.torch, found.export
    if mine.metric is not None and other.metric is not None:
        change = f"{other.metric - mine.metric:+.4f}"
        table.add(found.metric, f"{mine.metric:.4f}", f"{other.metric:.4f}", change)
    for size, own in mine.latency.items():
        theirs = other.latency[size]
        label = f"ms for {size} sample{'s' if size > 1 else ''}"
        table.add(label, f"{own:.2f}", f"{theirs:.2f}", f"{own / theirs:.2f}x as fast")
    ratio = f"{other.megabytes / mine.megabytes:.0%}"
    table.add("MB", f"{mine.megabytes:.1f}", f"{other.megabytes:.1f}", ratio)
    console().print(table)
    told = (
        f"{found.alike:.1%} of the predictions are the same"
        if found.alike is not None
        else f"largest difference of a prediction {found.difference:.2g}"
    )
    echo(f"{told}, on {counted(found.samples, 'sample')}")
