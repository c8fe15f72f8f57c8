"""What a format of an export is: written for other software, and read back."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mmft_core import Component, ExporterSpec, Registry
from mmft_core.contracts import ExportReader, Runner
from mmft_core.errors import ConfigError, PluginError
from mmft_core.run import LoadedModel
from mmft_export import folder as exports
from mmft_export.tracing import GraphInfo, Traced


@dataclass(frozen=True)
class Written:
    """What an exporter wrote.

    Attributes:
        files: all that it will load, below the folder.
        versions: of what they were written with, as far as readers care.
        graphs: what they compute; empty for weights alone.
        notes: what users must know, in whole sentences.
    """

    files: Sequence[Path]
    versions: Mapping[str, str]
    graphs: tuple[GraphInfo, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """What is to be written.

    Attributes:
        model: of the run, on the CPU, in evaluation mode.
        traced: traces the graphs of its task.
        quantize: how its graphs are quantized, one of the exporter's `quantizations`; or None.
        calibrate: computes samples of the training split with runners in place of the graphs.
    """

    model: LoadedModel
    traced: Callable[[], list[Traced]]
    quantize: str | None
    calibrate: Callable[[Mapping[str, Runner]], None]


class Exporter(ExportReader):
    """A format that `mmft export --format` writes."""

    quantizations: ClassVar[tuple[str, ...]] = ()
    """What `--quantize` may be."""

    @abstractmethod
    def write(self, job: Job, folder: Path) -> Written:
        """Write a model into a folder that is there.

        Raises:
            ExportError: it does something that the format lacks.
        """


class GraphFormat(Exporter):
    """A format of graphs: traced by torch, and computed by a runtime."""

    suffix: ClassVar[str]

    def info(self, traced: Traced) -> GraphInfo:
        """What users of a graph's file have to know.

        Raises:
            ExportError: it has sizes that the format lacks.
        """
        return traced.info(f"{traced.name}{self.suffix}")

    @abstractmethod
    def write_graph(self, traced: Traced, file: Path) -> None:
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

    def quantize(self, full: Path, infos: Sequence[GraphInfo], job: Job, folder: Path) -> None:
        """Write the graphs of the folder `full` quantized, as `job.quantize` says."""
        raise NotImplementedError

    def write(self, job: Job, folder: Path) -> Written:
        traced = job.traced()
        infos = tuple(self.info(one) for one in traced)
        with tempfile.TemporaryDirectory() as temporary:
            target = folder if job.quantize is None else Path(temporary)
            for one, info in zip(traced, infos, strict=True):
                self.write_graph(one, target / info.file)
            if job.quantize is not None:
                self.quantize(target, infos, job, folder)
        names = tuple(info.file for info in infos)
        files = sorted(file for file in folder.iterdir() if file.name.startswith(names))
        return Written(files, self.versions(), infos)

    def load(
        self, folder: Path, registry: Registry, settings: Mapping[str, Any] | None = None
    ) -> LoadedModel:
        told = exports.describe(folder)
        runners = {graph.name: self.run(folder / graph.file, graph) for graph in told.graphs}
        return exports.adopted(folder, registry, runners, settings)


def exporter_of(registry: Registry, kind: str, quantize: str | None = None) -> Exporter:
    """The exporter of that name.

    Raises:
        UnknownComponentError: there is none.
        MissingExtraError: it needs packages that are not installed.
        ConfigError: it does not quantize so.
    """
    component = registry.get(ExporterSpec, kind)
    exporter = component.make()
    if not isinstance(exporter, Exporter):
        raise PluginError(
            f"Exporter '{component.qualified}' built a {type(exporter).__name__}, not an Exporter."
        )
    if quantize is not None and quantize not in exporter.quantizations:
        able = {c.name: q for c in registry.of(ExporterSpec) if (q := _quantizations(c))}
        fitting = [name for name, quantizations in able.items() if quantize in quantizations]
        if fitting:
            raise ConfigError(
                f"--quantize {quantize} is for --format {' or '.join(fitting)}, not {kind}.",
                hint="Leave one of them out.",
            )
        known = "; ".join(f"{', '.join(q)} for --format {name}" for name, q in able.items())
        raise ConfigError(
            f"There is no quantization '{quantize}'.", hint=f"Choose one of: {known or 'none'}."
        )
    return exporter


def _quantizations(component: Component[Any]) -> tuple[str, ...]:
    if component.missing_extras():
        return ()
    return tuple(getattr(component.make(), "quantizations", ()))
