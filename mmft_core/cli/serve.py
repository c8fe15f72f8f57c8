"""`mmft serve`: a finished model behind HTTP, for programs and for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmft_core.cli.index import FOLDER, check_model, identify
from mmft_core.cli.settings import later_settings
from mmft_core.cli.terminal import echo
from mmft_core.cli.using import ENGINE, make_predictor
from mmft_core.discovery import discover
from mmft_core.errors import ConfigError
from mmft_core.extras import require_extra

if TYPE_CHECKING:
    from mmft_core.index import Searcher
    from mmft_core.inference.predictor import Predictor

_HOME = ("127.0.0.1", "::1", "localhost")
_POSITIVE = click.IntRange(min=1)


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one."
)
@click.option(
    "--backend",
    type=click.Choice(["torch", "onnx"]),
    help="Of a run: onnx takes RUN_DIR/export/onnx. Default: torch; of an export its own.",
)
@click.option(
    "--max-batch", type=_POSITIVE, default=16, show_default=True, help="Inputs computed at once."
)
@click.option(
    "--queue", type=_POSITIVE, default=128, show_default=True, help="Requests in hand; then 429."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to an answer.",
)
@click.option(
    "--max-bytes", type=_POSITIVE, default=32 * 1024 * 1024, show_default=True, help="Of a request."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="UNIT=MOST",
    help="Of an input: pixels, seconds, characters; repeatable.",
)
@click.option("--top-k", type=_POSITIVE, default=5, show_default=True, help="Of an answer.")
@click.option(
    "--api-key", envvar="MMFT_API_KEY", show_envvar=True, help="What requests have to show."
)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As task.timestamps=words."
)
def serve(
    run_dir: Path,
    host: str,
    port: int,
    backend: str | None,
    max_batch: int,
    queue: int,
    timeout: float,
    max_bytes: int,
    limits: tuple[str, ...],
    top_k: int,
    api_key: str | None,
    assignments: tuple[str, ...],
) -> None:
    """Serve a finished run, or an export, over HTTP: POST /predict, and a page to try it on at /.

    \b
    mmft serve runs/flowers
    curl -F image=@photo.jpg http://127.0.0.1:8000/predict
    curl --json '{"text": "A text as it is"}' http://127.0.0.1:8000/predict

    Requests that come together are computed together. SIGTERM lets those in hand finish.
    """
    require_extra("`mmft serve`", "serve")

    from mmft_core.batches.loading import choose_workers
    from mmft_core.export import folder
    from mmft_core.serve import server
    from mmft_core.serve.app import create_app
    from mmft_core.serve.settings import ServeSettings

    if api_key is not None and not api_key.strip():
        raise ConfigError("The API key is empty.", hint="Leave it out, or give one that is long.")
    settings = ServeSettings(
        max_batch=max_batch,
        queue=queue,
        timeout=timeout,
        max_bytes=max_bytes,
        extents=_extents(limits),
        top_k=top_k,
        api_key=api_key,
        workers=max(2, choose_workers(None)),
    )
    served = served_by(run_dir, backend)
    changed = later_settings(assignments, ("task", *ENGINE))
    model = folder.load(served, discover(), changed)
    predictor = make_predictor(model, changed, max_batch)
    searcher = open_index(folder.place(run_dir), predictor)
    app = create_app(folder.title(served), predictor, settings, searcher)
    with server.listen(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        echo(f"serving  http://{address}:{listener.getsockname()[1]}")
        if host not in _HOME and api_key is None:
            note = "whoever reaches this address may use the model; --api-key asks for a key"
            echo(f"! {note}", err=True)
        server.run(app, listener, grace=timeout)


def served_by(run_dir: Path, backend: str | None) -> Path:
    """The folder whose model is served.

    Raises:
        ConfigError: an export cannot be served so, or there is none.
    """
    from mmft_core.export import folder

    found = folder.find_export(run_dir)
    if found is not None:
        kind = folder.describe(found).kind
        if backend is not None and (backend == "onnx") != (kind == "onnx"):
            raise ConfigError(
                f"{found} is an export in the format {kind}, which --backend {backend} is not for.",
                hint="Leave --backend out, or give the run.",
            )
        return found
    if backend != "onnx":
        return run_dir
    own = run_dir / "export" / "onnx"
    if folder.find_export(own) is None:
        raise ConfigError(
            f"There is no ONNX export of {run_dir}.", hint=f"Make it with: mmft export {run_dir}"
        )
    return own


def _extents(limits: Sequence[str]) -> dict[str, float]:
    """The limits by unit, those that are given in place of the defaults.

    Raises:
        ConfigError: one is not UNIT=MOST, or of no unit that there is.
    """
    from mmft_core.serve.settings import EXTENTS

    given: dict[str, float] = {}
    for limit in limits:
        unit, _, amount = limit.partition("=")
        try:
            given[unit] = float(amount)
        except ValueError:
            given[unit] = -1.0
        if unit not in EXTENTS or not given[unit] > 0:
            raise ConfigError(
                f"--limit '{limit}' is not UNIT=MOST, with a unit of {', '.join(EXTENTS)}.",
                hint="For example: --limit seconds=60",
            )
    return EXTENTS | given


def open_index(run_dir: Path, predictor: Predictor) -> Searcher | None:
    """What searches the index beside a run; None where there is none.

    Raises:
        MissingExtraError: searching needs packages that are not installed.
        RunDirectoryError: it is of another model, or damaged.
    """
    if not (run_dir / FOLDER).is_dir():
        return None
    from mmft_core.index import Searcher, folder, opening

    identity = folder.read(run_dir / FOLDER).identity
    hint = f"Bring it up to date with `mmft index {run_dir} ... --rebuild`, or remove it."
    check_model(run_dir / FOLDER, identity, identify(run_dir, identity.modality), hint)
    return Searcher(opening.open_index(run_dir / FOLDER), predictor)
