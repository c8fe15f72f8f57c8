"""torch.export's own files (.pt2), which `torch.export.load` reads anywhere torch is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from mmft_core.contracts import Runner, Tensors
from mmft_core.errors import ExportError, first_line
from mmft_export.formats import GraphFormat
from mmft_export.pt2_archive import UnsafeArchiveError, checked_copy, without_traces
from mmft_export.tracing import GraphInfo, Traced, filled


class TorchExport(GraphFormat):
    """Programs whose module takes one dict of tensors and gives another."""

    suffix = ".pt2"

    def write_graph(self, traced: Traced, file: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of views of one tensor, which matter on GPUs alone.
            torch.export.save(without_traces(traced.program), file)

    def run(self, file: Path, info: GraphInfo) -> Runner:
        try:
            # Guards are strings that torch executes as code; sizes are still checked.
            module = torch.export.load(checked_copy(file)).module(check_guards=False)
        except UnsafeArchiveError as error:
            raise ExportError(
                f"{file} is refused: {error}, which an export of mmft never has.",
                hint="Make it anew with `mmft export RUN_DIR --format torch-export`.",
            ) from None
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
