"""The formats of an export, each in a module of its own that is imported on use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mmft_core.contracts import Runner
from mmft_core.errors import ConfigError, did_you_mean
from mmft_core.export.tracing import GraphInfo, Traced
from mmft_core.extras import require_extra
from mmft_core.specs import resolve


class GraphFormat(ABC):
    """How graphs are written and computed."""

    suffix: ClassVar[str]

    def info(self, traced: Traced) -> GraphInfo:
        """What users of a graph's file have to know.

        Raises:
            ExportError: it has sizes that the format lacks.
        """
        return traced.info(f"{traced.name}{self.suffix}")

    @abstractmethod
    def write(self, traced: Traced, file: Path) -> None:
        """Write a graph.

        Raises:
            ExportError: it does something that the format lacks.
        """

    @abstractmethod
    def run(self, file: Path, info: GraphInfo) -> Runner:
        """Read a graph, to be computed on the CPU.

        Raises:
            ExportError: the file is damaged.
        """

    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """The versions of what it is written with, as far as readers care."""


@dataclass(frozen=True)
class _Place:
    path: str
    extra: str | None = None


WEIGHTS = "safetensors"
"""The one format that holds no graphs, but weights for other software."""

_GRAPHS = {
    "onnx": _Place("mmft_core.export.onnx_format:Onnx", "onnx"),
    "torch-export": _Place("mmft_core.export.torch_format:TorchExport"),
    "litert": _Place("mmft_core.export.litert_format:LiteRT", "litert"),
}
FORMATS = (*_GRAPHS, WEIGHTS)


def graph_format(name: str) -> GraphFormat:
    """The format of that name.

    Raises:
        ConfigError: there is none of graphs.
        MissingExtraError: it needs packages that are not installed.
    """
    if name not in _GRAPHS:
        raise ConfigError(
            f"'{name}' is no format of graphs.{did_you_mean(name, FORMATS)}",
            hint=f"Formats are: {', '.join(FORMATS)}.",
        )
    place = _GRAPHS[name]
    if place.extra is not None:
        require_extra(f"The format {name}", place.extra)
    built = resolve(place.path)()
    assert isinstance(built, GraphFormat)
    return built
