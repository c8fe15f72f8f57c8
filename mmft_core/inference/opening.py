"""Opening a finished model: that of a run, or an export.

An export is a folder with `export.json`, whose "kind" names the exporter that reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmft_core
from mmft_core.contracts import ExportReader
from mmft_core.errors import ExportError, PluginError
from mmft_core.plugin_errors import kind_of
from mmft_core.registry import Registry
from mmft_core.run import artifacts
from mmft_core.run.artifacts import LoadedModel
from mmft_core.specs import ExporterSpec
from mmft_core.utils.digests import DamagedFileError, check_files
from mmft_core.utils.files import is_within

FORMAT = 1
DESCRIPTION = "export.json"


def find_export(path: Path) -> Path | None:
    """The folder of an export, given it or one of its files; None if it is something else."""
    folder = path if path.is_dir() else path.parent
    return folder if (folder / DESCRIPTION).is_file() else None


def place(path: Path) -> Path:
    """The folder that a user means: that of an export if a file of one is given."""
    return find_export(path) or path


def description(folder: Path) -> Mapping[str, Any]:
    """What `export.json` holds.

    Raises:
        ExportError: it is damaged, or of another mmft.
    """
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(
                f"its format is {content['format']}, written by mmft {content['mmft']}; "
                f"this is mmft {mmft_core.__version__}, which reads format {FORMAT}"
            )
        if not isinstance(content["kind"], str):
            raise ValueError("its kind is not a text")
        for name in content.get("files", {}):
            if not is_within(name):
                raise ValueError(f"'{name[:80]}' lies outside of it")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(folder, error) from error
    found: Mapping[str, Any] = content
    return found


def unreadable(folder: Path, error: object) -> ExportError:
    """The error for an export whose description is wrong."""
    return ExportError(
        f"The export in {folder} cannot be read: {error}.",
        hint="Make it again with `mmft export RUN_DIR`.",
    )


def title(path: Path) -> str:
    """The name of a run, or of an export: the name of its run, and its format."""
    folder = find_export(path)
    if folder is None:
        return path.resolve().name
    told = description(folder)
    written = form(told["kind"], told.get("quantize"))
    return f"{told.get('run') or folder.resolve().name} ({written})"


def form(kind: str, quantize: str | None) -> str:
    """A format and how it is quantized in one word."""
    return kind if quantize is None else f"{kind}-{quantize}"


def fingerprint(path: Path) -> str:
    """The digest of a run's model or of an export, by which an index knows it."""
    folder = find_export(path)
    if folder is None:
        return artifacts.fingerprint(path)
    parts = [artifacts.fingerprint(folder), dict(description(folder).get("files", {}))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def load(path: Path, registry: Registry, settings: Mapping[str, Any] | None = None) -> LoadedModel:
    """Load a run's model, or an export that takes its place.

    Args:
        path: of a run, its model, an export or a file of one.

    Raises:
        ExportError: the export is damaged.
        UnknownComponentError: no plugin reads its format.
        MissingExtraError: its format needs packages that are not installed.
        As `mmft_core.run.artifacts.load` does.
    """
    folder = find_export(path)
    if folder is None:
        return artifacts.load(path, registry, settings)
    told = description(folder)
    try:
        check_files(folder, told.get("files", {}))
    except DamagedFileError as error:  # Its message begins with the path below the folder.
        raise ExportError(
            f"The export is damaged: {folder}/{error}.",
            hint="Make it again with `mmft export RUN_DIR`.",
        ) from None
    exporter = registry.get(ExporterSpec, told["kind"])
    reader = exporter.build()
    if not isinstance(reader, ExportReader):
        raise PluginError(
            f"Exporter '{exporter.qualified}' built {kind_of(reader)}, not an ExportReader."
        )
    return reader.load(folder, registry, settings)
