"""`mmft search`: the items of an index that are most similar to a file or a text."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core import discover
from mmft_core.cli import (
    INFERENCE_SETTINGS,
    echo,
    echo_json,
    fetching_options,
    file_on_stdin,
    later_settings,
    lines_on_stdin,
    refuse_mixed,
    remark_hidden,
    set_option,
)
from mmft_core.errors import ConfigError, DataError, IncompatibleError, some_of
from mmft_core.utils import counted, printable, shortened
from mmft_search.index_command import FOLDER, check_model, identify, load_embedder

if TYPE_CHECKING:
    from mmft_core.inference import Limits, Source
    from mmft_core.run import LoadedModel
    from mmft_search.searching import Answer, Searcher
    from mmft_search.store import Index

_EXCERPT = 100
"""Characters of a text that a row shows."""


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("queries", metavar="QUERY...", nargs=-1)
@click.option("--text", "texts", multiple=True, help="Text to search for; can be repeated.")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Hits per query.",
)
@click.option(
    "--index",
    "place",
    type=click.Path(path_type=Path),
    help="Index to search.  [default: RUN_DIR/index]",
)
@click.option(
    "--exact", is_flag=True, help="Compare with every item, bypassing the approximate index."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "jsonl"]),
    help="Output format.  [default: table in a terminal, else jsonl]",
)
@set_option("A setting to change, such as engine.precision=bf16; can be repeated.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the hits to this file as an HTML contact sheet.",
)
@fetching_options
def search(
    *,
    run_dir: Path,
    queries: tuple[str, ...],
    texts: tuple[str, ...],
    top_k: int,
    place: Path | None,
    exact: bool,
    form: str | None,
    assignments: tuple[str, ...],
    html: Path | None,
    limits: Limits,
) -> None:
    """Find the items of an index that are most similar to a query: a file, a folder or a text.

    \b
    mmft search runs/photos holiday.jpg --html found.html
    mmft search runs/sentences 'how to save a file' --top-k 3
    mmft search runs/sentences - < questions.txt       one query per line
    mmft search runs/clip --text 'a red bicycle'       among pictures
    """
    if not queries and not texts:
        raise ConfigError("No query was given.", hint="Give files or texts, or - for lines.")
    refuse_mixed(queries)

    from mmft_search import folder, sheet
    from mmft_search.opening import open_index
    from mmft_search.searching import Searcher

    settings = later_settings(assignments, INFERENCE_SETTINGS)
    where = place or run_dir / FOLDER
    identity = folder.read(where).identity
    registry = discover()
    model, predictor = load_embedder(run_dir, registry, 32, settings)
    hint = "Build one with `mmft index`, or name the index of this model with --index."
    check_model(where, identity, identify(run_dir, identity.modality), hint)
    with contextlib.closing(open_index(where, registry, exact=exact)) as index:
        searcher = Searcher(index, predictor)
        answers = searcher.answer(_asked(queries, texts, model, limits), top_k)
        if html is not None:
            sheet.write_sheet(html, searcher, answers)
        if (form or ("table" if sys.stdout.isatty() else "jsonl")) == "table":
            _print_tables(searcher, answers)
            _tell(index, answers, html)
        else:
            _print_jsonl(answers)
    failed = [f"{shortened(printable(a.query))} ({a.error})" for a in answers if a.error]
    if failed:
        raise DataError(
            f"{len(failed)} of {len(answers)} queries could not be read: {some_of(failed)}",
            hint=" ".join(dict.fromkeys(a.hint for a in answers if a.hint)) or None,
        )


def _asked(
    queries: tuple[str, ...], texts: tuple[str, ...], model: LoadedModel, limits: Limits
) -> list[tuple[str, Source]]:
    """The modality and the source of each query: QUERY first, then --text, which is never a file.

    Raises:
        IncompatibleError: a text is given to a model that reads none.
    """
    from mmft_core.inference import Hidden, assign

    readers = [m for m, p in model.processors.items() if p.parse("a text") is not None]
    if texts and not readers:
        raise IncompatibleError(
            f"The model embeds {' and '.join(model.processors)}, not texts.",
            hint="Give files, or train with --task contrastive on pictures and texts.",
        )
    if queries == ("-",):
        file = file_on_stdin(model.processors, limits.folder)
        modality = readers[0] if readers else next(iter(model.processors))
        lines = lines_on_stdin(model.processors[modality], limits)
        found = [file] if file else [(modality, line) for line in lines]
    else:
        hidden = Hidden()
        found = list(assign(queries, model.processors, limits, hidden))
        remark_hidden(hidden)
    return [*found, *((readers[0], text) for text in texts)]


def _print_jsonl(answers: Sequence[Answer]) -> None:
    """A JSON object a line: {"query", "found": [{"id", "score"}, ...]} or {"query", "error"}."""
    for answer in answers:
        found = [{"id": printable(hit.id), "score": round(hit.score, 6)} for hit in answer.hits]
        record = {"error": answer.error} if answer.error else {"found": found}
        echo_json({"query": printable(answer.query), **record})


def _print_tables(searcher: Searcher, answers: Sequence[Answer]) -> None:
    from mmft_core.cli import Column, Table, console, text

    screen = console()
    for answer in answers:
        screen.print(text(shortened(printable(answer.query)), "bold"))
        if answer.error:
            screen.print(f"! {answer.error}")
            continue
        table = Table(Column("score", number=True), "item", "excerpt", header=False)
        for hit in answer.hits:
            preview = searcher.preview(hit.key)
            excerpt = ""
            if preview is not None and preview.mime.startswith("text/"):
                excerpt = " ".join(preview.data.decode("utf-8", "replace").split())[:_EXCERPT]
            table.add(f"{hit.score:.4f}", printable(hit.id), text(excerpt, "dim"))
        screen.print(table)


def _tell(index: Index, answers: Sequence[Answer], html: Path | None) -> None:
    times = [answer.milliseconds for answer in answers if not answer.error]
    if times:
        mean = sum(times) / len(times)
        echo(f"{counted(len(index), 'item')} searched in {mean:.2f} ms ({index.how})")
    if html is not None:
        echo(f"sheet  {html}")
