"""The folder of an export: its graphs, `export.json`, and what `mmft predict` needs beside them.

`export.json` says all that is needed to feed the graphs without mmft: names, types and shapes of
what goes in and comes out, how inputs are prepared, what the classes are called. `model.json`,
`config.toml` and `assets/` are the run's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

import mmft_core
from mmft_core import Registry
from mmft_core.contracts import Runner
from mmft_core.errors import ExportError
from mmft_core.inference import opening
from mmft_core.run import LoadedModel, artifacts
from mmft_core.utils import is_within, json_text
from mmft_export.tracing import GraphInfo


@dataclass(frozen=True, kw_only=True)
class Description:
    """What `export.json` holds.

    Attributes:
        kind: the format, as `--format` names it.
        quantize: how it was quantized; None for not at all.
        run: the name of the run that it is of, without where that lies.
        versions: of what it was written with.
        files: SHA-256 of all that is loaded, by path.
        preprocessing: by modality, how inputs become the graphs' tensors (`Processor.manifest`).
        classes: the names of the classes, in their order.
        notes: what its users must know, in whole sentences.
        check: how it compares with its run.
    """

    format: int = opening.FORMAT
    mmft: str = mmft_core.__version__
    kind: str
    quantize: str | None = None
    run: str = ""
    task: str
    predicts: str
    versions: Mapping[str, str] = field(default_factory=dict)
    graphs: tuple[GraphInfo, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    check: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        text = json_text(asdict(self), indent=2)
        (folder / opening.DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def describe(folder: Path) -> Description:
    """Read `export.json`.

    Raises:
        ExportError: it is damaged, or of another mmft.
    """
    content = opening.description(folder)
    try:
        told = msgspec.convert(content, Description)
        for name in (graph.file for graph in told.graphs):
            if not is_within(name):
                raise ValueError(f"'{name[:80]}' lies outside of it")
        for tensor in (t for g in told.graphs for t in (*g.inputs, *g.outputs)):
            if not isinstance(getattr(torch, tensor.dtype, None), torch.dtype):
                raise ValueError(f"'{tensor.dtype[:80]}' is not a tensor type")
    except ValueError as error:
        raise opening.unreadable(folder, error) from error
    return told


def adopted(
    folder: Path,
    registry: Registry,
    runners: Mapping[str, Runner],
    settings: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """A model without weights that runners compute."""
    with torch.device("meta"):
        model = artifacts.load_empty(folder, registry, settings)
    try:
        task = model.task.adopt(runners)
    except KeyError as error:
        raise ExportError(f"The export in {folder} lacks the graph {error}.") from error
    _drop_weights(task)
    return replace(model, task=task.eval(), exported=True)


def _drop_weights(task: torch.nn.Module) -> None:
    """Leave nothing of what has a shape and no values, which no device could be given."""
    for module in task.modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and tensor.is_meta:
                setattr(module, name, None)
