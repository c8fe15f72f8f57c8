"""`mmft serve`: a finished model behind HTTP, for programs and for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmft_core import discover
from mmft_core.cli import INFERENCE_SETTINGS, echo, later_settings, set_option
from mmft_core.errors import ConfigError, IncompatibleError
from mmft_core.utils import require_extra
from mmft_search.index_command import FOLDER, check_model, identify
from mmft_serve.command_options import limit_options, read_settings

if TYPE_CHECKING:
    from mmft_core.inference import Predictor
    from mmft_search.searching import Searcher
    from mmft_serve.logs import LogFormat

_HOME = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--backend",
    type=click.Choice(["torch", "onnx"]),
    help="Runtime: torch, or onnx for the export in RUN_DIR/export/onnx.  [default: torch]",
)
@click.option(
    "--api-key",
    envvar="MMFT_API_KEY",
    show_envvar=True,
    help="API key that clients must send as 'Authorization: Bearer KEY'.",
)
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=RUN",
    help="Also serve the adapters of another chat run on the same base weights; OpenAI clients "
    "choose them with NAME as the model. Can be repeated.",
)
@limit_options
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="UNIT=MAX",
    help="Largest input, in pixels, seconds or characters; can be repeated.",
)
@click.option("--access-log", is_flag=True, help="Write a line to standard error for each request.")
@click.option(
    "--log-format",
    type=click.Choice(["plain", "json"]),
    default="plain",
    show_default=True,
    help="Format of the access log, warnings and errors.",
)
@set_option("A setting of the task or of the engine, such as task.timestamps=words.")
def serve(
    run_dir: Path,
    host: str,
    port: int,
    backend: str | None,
    adapters: tuple[str, ...],
    access_log: bool,
    log_format: LogFormat,
    assignments: tuple[str, ...],
    **given: Any,
) -> None:
    """Serve a finished run, or an export, over HTTP: POST /predict, and a page to try it out at /.

    \b
    mmft serve runs/flowers
    curl -F image=@photo.jpg http://127.0.0.1:8000/predict
    curl --json '{"text": "Some text"}' http://127.0.0.1:8000/predict

    Requests that arrive at the same time are computed in one batch. SIGTERM ends the server without
    losing a request: see --drain-delay and --shutdown-timeout. Ctrl-C does so without the delay.
    """
    require_extra("`mmft serve`", "serve")

    from mmft_core.inference import load_beside, make_predictor, opening
    from mmft_core.loading import choose_workers
    from mmft_serve import logs, server
    from mmft_serve.app import create_app
    from mmft_serve.chatting import Chatting
    from mmft_serve.openai import Models

    settings = read_settings(**given, workers=max(2, choose_workers(None)))
    served = served_by(run_dir, backend)
    changed = later_settings(assignments, ("task", *INFERENCE_SETTINGS))
    title = opening.title(served)
    beside = read_adapters(adapters, title)
    if beside:
        model, chosen = load_beside(served, beside, discover(), changed)
        if not isinstance(model.task, Chatting):  # Only a chat says which adapters answer it.
            raise IncompatibleError(
                f"--adapter serves chat models beside one another, and {served} is none.",
                hint="Serve each run by itself.",
            )
    else:
        model, chosen = opening.load(served, discover(), changed), {"": lambda: None}
    predictor = make_predictor(model, changed, settings.max_batch)
    searcher = open_index(opening.place(run_dir), predictor)
    models = Models({name or title: choose for name, choose in chosen.items()})
    app = create_app(title, predictor, settings, searcher, models=models)
    with server.listen(host, port) as listener:
        service = server.Server(app, settings)
        with service.ended_by_signals():
            address = f"[{host}]" if ":" in host else host
            echo(f"serving  http://{address}:{listener.getsockname()[1]}")
            if host not in _HOME and settings.api_key is None:
                note = (
                    "anyone who can reach this address may use the model; --api-key requires a key"
                )
                echo(f"! {note}", err=True)
            logs.configure_logs(access_log, log_format)
            server.run(service, listener)


def read_adapters(given: tuple[str, ...], title: str) -> dict[str, Path]:
    """Runs by the names of their adapters.

    Args:
        title: the name of the run that they are served beside.

    Raises:
        ConfigError: one is not NAME=RUN, or a name is given twice.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, run = text.partition("=")
        if not (name and equals and run):
            raise ConfigError(f"--adapter {text} is not NAME=RUN.")
        if name == title:
            raise ConfigError(
                f"--adapter {name} has the name of the run itself.", hint="Give it another name."
            )
        if name in found:
            raise ConfigError(f"--adapter {name} is given twice.", hint="Give each another name.")
        found[name] = Path(run)
    return found


def served_by(run_dir: Path, backend: str | None) -> Path:
    """The folder whose model is served.

    Raises:
        ConfigError: an export cannot be served so, or there is none.
    """
    from mmft_core.inference import opening

    found = opening.find_export(run_dir)
    if found is not None:
        kind = opening.description(found)["kind"]
        if backend is not None and (backend == "onnx") != (kind == "onnx"):
            raise ConfigError(
                f"{found} is an export in the format {kind}, which --backend {backend} cannot run.",
                hint="Leave --backend out, or give the run.",
            )
        return found
    if backend != "onnx":
        return run_dir
    own = run_dir / "export" / "onnx"
    if opening.find_export(own) is None:
        raise ConfigError(
            f"There is no ONNX export of {run_dir}.", hint=f"Make it with: mmft export {run_dir}"
        )
    return own


def open_index(run_dir: Path, predictor: Predictor) -> Searcher | None:
    """What searches the index beside a run; None where there is none.

    Raises:
        MissingExtraError: searching needs packages that are not installed.
        RunDirectoryError: it is of another model, or damaged.
    """
    if not (run_dir / FOLDER).is_dir():
        return None
    from mmft_search import folder, opening
    from mmft_search.searching import Searcher

    identity = folder.read(run_dir / FOLDER).identity
    hint = f"Bring it up to date with `mmft index {run_dir} ... --rebuild`, or remove it."
    check_model(run_dir / FOLDER, identity, identify(run_dir, identity.modality), hint)
    return Searcher(opening.open_index(run_dir / FOLDER, discover()), predictor)
