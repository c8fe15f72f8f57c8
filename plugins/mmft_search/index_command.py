"""`mmft index`: a library of files, embedded to be searched."""

from __future__ import annotations

import contextlib
import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core import Registry, discover
from mmft_core.cli import INFERENCE_SETTINGS, echo, later_settings, remark_hidden, say, set_option
from mmft_core.config import Tree
from mmft_core.errors import (
    ConfigError,
    DataError,
    IncompatibleError,
    RunDirectoryError,
    some_of,
)
from mmft_core.utils import counted, printable

if TYPE_CHECKING:
    from mmft_core.inference import Predictor
    from mmft_core.run import LoadedModel
    from mmft_search.items import Identity
    from mmft_search.library import Library
    from mmft_search.opening import StoreRequest
    from mmft_search.store import Quality, Writer
    from mmft_search.updating import Change

FOLDER = "index"
"""An index lies in its run's directory, unless another place is named."""


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("library", nargs=-1)
@click.option("--dataset", metavar="NAME|PATH", help="Index the samples of this data set.")
@click.option("--split", default="all", show_default=True, help="Split of the data set.")
@click.option(
    "--modality", help="Modality to index, if the model has two.  [default: that of the files]"
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the index.  [default: RUN_DIR/index]",
)
@click.option(
    "--kind",
    metavar="KIND",
    help="Short for --set store.kind=KIND. For FAISS, flat is exact; hnsw and ivf are for many "
    "items; auto chooses by size.",
)
@click.option(
    "--store",
    metavar="NAME",
    help="Vector store, one of `mmft plugins --kind store`.  [default: the existing index's, else "
    "faiss]",
)
@click.option(
    "--url",
    help="Short for --set store.url=URL; without --store, of a Qdrant server. Its API key "
    "is read from QDRANT_API_KEY.",
)
@click.option(
    "--collection",
    metavar="NAME",
    help="Short for --set store.collection=NAME.  [default: named after run and model]",
)
@set_option(
    "A setting to change, such as dataset.text_column=title or store.kind=hnsw; can be repeated."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Samples per forward pass.",
)
@click.option(
    "--on-bad-sample",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="Whether files that cannot be read make the command fail; the others are indexed either "
    "way.",
)
@click.option(
    "--rebuild", is_flag=True, help="Build the index from scratch, replacing the existing one."
)
def index(
    run_dir: Path,
    library: tuple[str, ...],
    dataset: str | None,
    split: str,
    modality: str | None,
    output: Path | None,
    kind: str | None,
    store: str | None,
    url: str | None,
    collection: str | None,
    assignments: tuple[str, ...],
    batch_size: int,
    on_bad_sample: str,
    rebuild: bool,
) -> None:
    """Embed files, folders or a data set, so that `mmft search` can find them.

    Called again, it embeds new and changed items, drops those that are gone, and continues after
    an interruption.

    \b
    mmft index runs/photos ./album
    mmft index runs/sentences --dataset texts.csv
    mmft index runs/photos ./album --store qdrant --url http://localhost:6333
    """
    if bool(library) == (dataset is not None):
        raise ConfigError("Give either a LIBRARY or --dataset.")
    settings = later_settings(assignments, ("dataset", "store", *INFERENCE_SETTINGS))
    if library and ("dataset" in settings or split != "all"):
        given = (f"--set {a}" for a in assignments if a.startswith("dataset"))
        idle = next(given, f"--split {split}")
        raise ConfigError(
            f"{idle} only applies to --dataset, not to a LIBRARY.",
            hint="Leave it out, or name a data set by --dataset.",
        )

    from mmft_core.cli import console, make_display
    from mmft_search.folder import locked
    from mmft_search.library import FileLibrary
    from mmft_search.opening import StoreRequest, check_installed
    from mmft_search.updating import update

    options = settings.pop("store", {})
    short = {"kind": kind, "url": url, "collection": collection}
    given_short = {name: value for name, value in short.items() if value is not None}
    kept = StoreRequest(
        store=store or ("qdrant" if url or collection else None),
        options={**options, **given_short},
    )
    folder = output or run_dir / FOLDER
    registry = discover()
    check_installed(folder, kept, registry)
    model, predictor = load_embedder(run_dir, registry, batch_size, settings)
    modality = _modality(model, modality, library)
    predictor = predictor.of(modality)
    if dataset is None:
        files = FileLibrary(library, modality, predictor.processor)
        remark_hidden(files.hidden)
        wanted: Library = files
    else:
        wanted = _dataset(run_dir, predictor, registry, dataset, split, settings)
    display = make_display(console(stderr=True))
    with locked(folder), contextlib.closing(display):
        writer = _writer(folder, identify(run_dir, modality), kept, registry, rebuild)
        change = update(
            writer,
            wanted,
            predictor,
            partial(display.on_evaluation_progress, "embed"),
        )
        size = len(writer)
        found = writer.finish(display.on_message)
    _tell(run_dir, folder, output, size, change, found)
    failed = [f"{printable(e.sample_id)} ({e.reason})" for e in change.failed]
    if failed:
        message = f"{len(failed):,} could not be read, and are not in the index: {some_of(failed)}"
        if on_bad_sample == "fail":
            raise DataError(message, hint="The others are. --on-bad-sample skip accepts this.")
        say(message)


def load_embedder(
    run_dir: Path, registry: Registry, batch_size: int, settings: Tree
) -> tuple[LoadedModel, Predictor]:
    """Load the model of a run, which must give embeddings of each modality alone.

    Args:
        settings: of the engine, as {"engine": {"precision": "bf16"}}.

    Raises:
        ConfigError: one is wrong.
        IncompatibleError: it does not.
        RunDirectoryError: there is none.
    """
    from mmft_core.inference import make_predictor, opening

    model = opening.load(run_dir, registry)
    if model.component.spec.predicts not in ("embeddings", "pairs"):
        raise IncompatibleError(
            f"{run_dir} is a run of '{model.component.name}', which gives "
            f"{model.component.spec.predicts} and no embeddings to compare.",
            hint="Train with --task image-retrieval, text-retrieval or contrastive.",
        )
    return model, make_predictor(model, settings, batch_size)


def _modality(model: LoadedModel, given: str | None, library: tuple[str, ...]) -> str:
    """The modality that is indexed: the given one, that of the files, or else the model's first.

    Raises:
        ConfigError: the model does not read it.
        DataError: there are no files that it reads.
    """
    from mmft_core.inference import Unusable, assign

    if given is not None and given not in model.processors:
        raise ConfigError(
            f"The model embeds {' and '.join(model.processors)}, not {given}.",
            hint="Leave --modality out, or give one of these.",
        )
    if given is None and library and len(model.processors) > 1:
        given, first = next(assign(library, model.processors))
        if isinstance(first, Unusable):
            raise first.error
    return given or next(iter(model.processors))


def identify(run_dir: Path, modality: str) -> Identity:
    """The identity of an index by this run's model."""
    from mmft_core.inference import opening
    from mmft_search.items import Identity

    return Identity(model=opening.fingerprint(run_dir), run=str(run_dir), modality=modality)


def check_model(folder: Path, found: Identity, wanted: Identity, hint: str) -> None:
    """Raises:
    RunDirectoryError: the index is of another model, whose numbers mean something else.
    """
    if found.model != wanted.model:
        same = found.run == wanted.run
        which = "which this run had before" if same else f"that of {found.run}"
        raise RunDirectoryError(
            f"The index in {folder} was built by another model, {which}.", hint=hint
        )


def _dataset(
    run_dir: Path,
    predictor: Predictor,
    registry: Registry,
    name: str,
    split: str,
    settings: Tree,
) -> Library:
    """A data set as a library, whose name distinguishes it and its parts from others."""
    from mmft_core.inference import samples_of
    from mmft_search.library import DatasetLibrary

    (modality,) = predictor.processors
    chosen = samples_of(run_dir, name, split, registry, settings, say)
    place = str(Path(name).resolve()) if Path(name).exists() else name
    which = json.dumps({"dataset": place, "split": split, **settings}, sort_keys=True)
    return DatasetLibrary(which, chosen, modality, predictor.processor)


def _writer(
    folder: Path, identity: Identity, request: StoreRequest, registry: Registry, rebuild: bool
) -> Writer[Any]:
    from mmft_search import folder as folders
    from mmft_search import opening

    if rebuild or not folders.exists(folder):
        return opening.begin(folder, identity, request, registry)
    hint = "Add --rebuild to build it again, or choose another --output."
    check_model(folder, folders.read(folder).identity, identity, hint)
    return opening.open_writer(folder, request, registry)


def _tell(
    run_dir: Path,
    folder: Path,
    output: Path | None,
    size: int,
    change: Change,
    found: Quality | None,
) -> None:
    echo(
        f"{change.added:,} new, {change.unchanged:,} unchanged, {change.removed:,} removed"
        + (f"; {change.added / change.seconds:.1f} items/s" if change.added else "")
    )
    if found is None:
        echo(f"index   {folder}: empty")
        return
    echo(f"index   {folder}: {counted(size, 'item')}, {found.kind}")
    echo(f"search  {found.milliseconds:.2f} ms a query, {found.how}")
    place = "" if output is None else f" --index {shlex.quote(str(output))}"
    echo(f"use it  mmft search {shlex.quote(str(run_dir))} QUERY...{place}")
