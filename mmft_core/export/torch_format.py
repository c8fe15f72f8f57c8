"""torch.export's own files (.pt2), which `torch.export.load` reads anywhere torch is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from mmft_core.contracts import Runner, Tensors
from mmft_core.errors import ExportError, first_line
from mmft_core.export.formats import GraphFormat
from mmft_core.export.tracing import GraphInfo, Traced, filled


class TorchExport(GraphFormat):
    """Programs whose module takes one dict of tensors and gives another."""

    suffix = ".pt2"

    def write(self, traced: Traced, file: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of views of one tensor, which matter on GPUs alone.
            torch.export.save(traced.program, file)

    def run(self, file: Path, info: GraphInfo) -> Runner:
        try:
            module = torch.export.load(file).module()
        except Exception as error:
            raise ExportError(f"{file} cannot be loaded: {first_line(error)}.") from error
        names = [tensor.name for tensor in info.inputs]

        @torch.no_grad()
        def runner(inputs: Tensors) -> Tensors:
            given = dict(zip(names, filled(inputs, info.inputs), strict=True))
            return dict(module(given))

        return runner

    def versions(self) -> Mapping[str, str]:
        return {"torch": torch.__version__}
