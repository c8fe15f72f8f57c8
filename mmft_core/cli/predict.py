"""`mmft predict`: predictions of a finished model for files and texts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core.cli.captions import CAPTIONS, check_output, write_captions
from mmft_core.cli.fetching import fetching_options
from mmft_core.cli.settings import INFERENCE_SETTINGS, later_settings, set_option
from mmft_core.cli.stdin import file_on_stdin, lines_on_stdin, refuse_mixed
from mmft_core.cli.terminal import remark_hidden, say
from mmft_core.cli.writers import FORMATS, write
from mmft_core.config.trees import merge, nest
from mmft_core.discovery import discover
from mmft_core.errors import ConfigError, DataError, some_of
from mmft_core.registry import Registry
from mmft_core.run.directory import RunDirectory
from mmft_core.specs import TaskSpec
from mmft_core.utils.escaping import shortened
from mmft_core.utils.files import printable

if TYPE_CHECKING:
    from mmft_core.inference.downloads import Limits
    from mmft_core.inference.predictor import Prediction, Predictor


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1)
@click.option(
    "--attach",
    "--image",
    "--audio",
    "attached",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File that every input is about, such as the picture of a question; can be repeated.",
)
@click.option("--dataset", metavar="NAME|PATH", help="Data set to make predictions for.")
@click.option("--split", default="all", show_default=True, help="Split of the data set.")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Predictions per input, such as the most likely classes.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, *CAPTIONS]),
    help="Output format.  [default: table in a terminal, else jsonl]",
)
@click.option(
    "--raw",
    is_flag=True,
    help="Write CSV cells as they are, without an apostrophe before those that a spreadsheet "
    "would run as a formula.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Samples per forward pass.",
)
@set_option("A setting to change, such as task.num_beams=4; can be repeated.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File to write to, or a folder for the captions of several inputs.",
)
@fetching_options
def predict(
    *,
    run_dir: Path,
    inputs: tuple[str, ...],
    attached: tuple[Path, ...],
    dataset: str | None,
    split: str,
    top_k: int,
    form: str | None,
    raw: bool,
    batch_size: int,
    assignments: tuple[str, ...],
    output: Path | None,
    limits: Limits,
) -> None:
    """Make predictions for files, folders, URLs or texts with a finished run or an export.

    \b
    mmft predict runs/flowers photo.jpg ./album 'more/*.png' --top-k 3
    mmft predict runs/topics 'Some text' letter.txt
    mmft predict runs/topics - < texts.txt             one input per line, or one file
    mmft predict runs/topics -- '-1 star'              -- before inputs that begin with a dash
    mmft predict runs/flowers https://example.org/rose.jpg
    mmft predict runs/seer 'What is this?' --image photo.jpg
    mmft predict runs/topics --dataset texts.csv
    mmft predict runs/talks talk.mp3 --format srt -o talk.srt
    """
    from mmft_core.inference import opening
    from mmft_core.inference.finished import make_predictor, samples_of
    from mmft_core.utils.files import storage_errors

    if bool(inputs) == (dataset is not None):
        if inputs:
            raise ConfigError("Give either inputs or --dataset.")
        hint = "Name files, folders or texts after the run, or give a data set with --dataset."
        raise ConfigError("There is nothing to predict.", hint=hint)
    if inputs and split != "all":
        raise ConfigError("--split needs --dataset.", hint="Leave it out.")
    if attached and dataset is not None:
        raise ConfigError("--attach cannot be combined with --dataset.", hint="Leave one out.")
    refuse_mixed(inputs)
    data = () if dataset is None else ("dataset",)
    settings = later_settings(assignments, ("task", *data, *INFERENCE_SETTINGS))
    run_dir, registry = opening.place(run_dir), discover()
    if form in CAPTIONS:
        settings = merge(nest(_timed(run_dir, registry)), settings)
    model = opening.load(run_dir, registry, settings)
    predictor = make_predictor(model, settings, batch_size)
    form = form or ("table" if output is None and sys.stdout.isatty() else "jsonl")
    if raw and form != "csv":
        raise ConfigError("--raw needs --format csv.", hint="Add --format csv, or leave out --raw.")
    if dataset is not None:
        chosen = samples_of(run_dir, dataset, split, registry, settings, say)
        several, predictions = len(chosen) > 1, predictor.predict_split(chosen, top_k)
    else:
        with_files = predictor if not attached else predictor.attaching(attached)
        several, predictions = _predicted(inputs, with_files, top_k, limits)
    if form in CAPTIONS:
        check_output(form, output, several=several)
    # A table on standard output gives the reasons itself.
    counted = _Counted(predictions, with_reasons=form != "table" or output is not None)
    if form in CAPTIONS:
        write_captions(counted, form, output)
    elif output is None:
        write(counted, form, sys.stdout, raw=raw)
    else:
        with storage_errors(output), output.open("w", encoding="utf-8", newline="") as stream:
            write(counted, form, stream, raw=raw)
    if counted.failed:
        raise DataError(
            f"{len(counted.failed)} of {counted.number} inputs could not be read: "
            f"{some_of(counted.failed)}",
            hint=" ".join(counted.hints) or None,
        )


def _predicted(
    inputs: tuple[str, ...], predictor: Predictor, top_k: int, limits: Limits
) -> tuple[bool, Iterator[Prediction]]:
    """Whether there may be several inputs, and their predictions, made as they are asked for."""
    from mmft_core.inference.named import Hidden
    from mmft_core.inference.sources import expand

    processor = predictor.processor
    if inputs == ("-",):
        file = file_on_stdin(predictor.processors, limits.folder)
        if file is not None:
            return False, predictor.predict([file[1]], top_k)
        lines, size = lines_on_stdin(processor, limits), predictor.config.batch_size
        batches = iter(lambda: list(itertools.islice(lines, size)), [])
        return True, (found for batch in batches for found in predictor.predict(batch, top_k))
    hidden = Hidden()
    sources = list(expand(inputs, processor, limits, hidden))
    remark_hidden(hidden)
    return len(sources) > 1, predictor.predict(sources, top_k)


def _timed(run_dir: Path, registry: Registry) -> Mapping[str, Any]:
    """The settings with which a run's model predicts timestamps.

    Raises:
        ConfigError: it predicts none.
    """
    name = RunDirectory(run_dir).open()["task"]["name"]
    captions = registry.get(TaskSpec, name).spec.captions
    if captions is None:
        raise ConfigError(
            f"Captions need timestamps, which models of task '{name}' do not predict.",
            hint="Give --format text, jsonl, csv or table.",
        )
    return captions


class _Counted:
    """Passes predictions on, and keeps what failed for the end."""

    def __init__(self, predictions: Iterable[Prediction], *, with_reasons: bool) -> None:
        self.predictions, self.with_reasons, self.number = predictions, with_reasons, 0
        self.failed: list[str] = []
        self.hints: dict[str, None] = {}

    def __iter__(self) -> Iterator[Prediction]:
        for prediction in self.predictions:
            self.number += 1
            # A file's name need not be UTF-8, but what is written must be.
            shown = replace(prediction, source=printable(prediction.source))
            if shown.record is None:
                name = shortened(shown.source)
                self.failed.append(f"{name} ({shown.error})" if self.with_reasons else name)
                if shown.hint:
                    self.hints[shown.hint] = None
            yield shown
