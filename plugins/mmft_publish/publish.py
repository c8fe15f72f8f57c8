"""From a finished run to a folder as model hubs have them: weights, what they need, a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mmft_core import CallbackSpec
from mmft_core.config import dump_toml, unfollowed
from mmft_core.contracts import DatasetInfo
from mmft_core.errors import IncompatibleError, RunDirectoryError
from mmft_core.run import RunDirectory, artifacts
from mmft_core.utils import ensure_new, read_record, replacing_folder, unreadable, write_digests
from mmft_report.carbon import estimate
from mmft_report.card import Publication, render_card
from mmft_report.content import ReportContent


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """What the user decides about what is published.

    Attributes:
        licence: as SPDX has it; empty for none.
        repo: the id on the Hub; empty for none.
        watts: drawn on average; None for an assumption.
        intensity: of the grid, in g CO2e/kWh; None for the world's average.
    """

    licence: str = ""
    repo: str = ""
    watts: float | None = None
    intensity: float | None = None


def publish(run: Path, output: Path, request: PublishRequest) -> None:
    """Write the folder, as a whole or not at all.

    Paths of this machine are shortened to their last part in all that is written, and callbacks,
    whose settings may name servers, are left out.

    Raises:
        IncompatibleError: the model needs weights that only this machine has.
        RunDirectoryError: there is no finished run, it is damaged or links to files elsewhere, or
            something is in the way.
        StorageError: it cannot be written.
    """
    ensure_new(output)
    directory = RunDirectory(run)
    config, results = shortened(unfollowed(directory.open())), directory.read_results()
    with artifacts.damage(directory.model):
        whole = read_record(directory.model / "model.json")
        _check_bases(whole)
        model = shortened(whole)
        info = msgspec.convert(model["info"], DatasetInfo)
    artifacts.check_weights(directory.model)
    _check_links(directory)
    names = " + ".join(part["name"] for part in results["backbones"].values())
    content = ReportContent(
        title=f"{results['task']} · {names} · {info.name}", results=shortened(results), info=info
    )
    timings, device = results["timings"], results["environment"]["device"]
    # The whole time is that since a run was last resumed.
    trained = timings["training_seconds"] + timings["evaluation_seconds"]
    seconds = max(timings["total_seconds"], trained)
    publication = Publication(
        licence=request.licence,
        repo=request.repo,
        carbon=estimate(seconds, device, request.watts, request.intensity),
        requires=_distributions(directory),
        settings=dump_toml(config).strip(),
    )
    with replacing_folder(output) as folder:
        shutil.copytree(directory.model, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        texts = {
            "model.json": json.dumps(model, indent=2) + "\n",
            "config.toml": dump_toml(config),
            "README.md": render_card(Path(output.name), content, publication),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        write_digests(folder)


def shortened(tree: Any) -> Any:
    """The same with absolute paths shortened to their last part."""
    if isinstance(tree, Mapping):
        return {key: shortened(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [shortened(value) for value in tree]
    if isinstance(tree, str) and Path(tree).is_absolute() and "\n" not in tree:
        return Path(tree).name or tree
    return tree


def _check_bases(model: Mapping[str, Any]) -> None:
    """Check that base weights that are not in the model are available to others."""
    for modality, part in model["backbones"].items():
        loaded = part["loaded"]
        if loaded.get("digest") and (part.get("beside") or Path(loaded["source"]).exists()):
            raise IncompatibleError(
                f"The run keeps only the adapters of its {modality} backbone, and their base "
                f"weights are in {loaded['source']}, which nobody else has.",
                hint="Repeat it with engine.lora.save = merged, or use `mmft package`, which "
                "merges them.",
            )


def _check_links(directory: RunDirectory) -> None:
    """Check that only the run's own files are published."""
    own = [folder.resolve() for folder in (directory.path, directory.model)]
    for file in directory.model.rglob("*"):
        if not any(file.resolve().is_relative_to(folder) for folder in own):
            raise RunDirectoryError(
                f"{file} is a link to {file.resolve()}, which is not published.",
                hint="Put a copy in its place if it belongs to the run, or remove it.",
            )


def _distributions(directory: RunDirectory) -> list[str]:
    """The distributions whose plugins the model was made with."""
    try:
        suppliers = json.loads(directory.plugins.read_text(encoding="utf-8"))
        needed = {s["distribution"] for s in suppliers if s["kind"] != CallbackSpec.kind}
        return sorted({"mmft", *needed} - {"unknown"})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise unreadable(directory.plugins, str(error)) from None
