"""ONNX, written by torch's exporter and computed by ONNX Runtime."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmft_core.contracts import Runner, Tensors
from mmft_core.errors import ExportError, first_line
from mmft_core.utils import quieted
from mmft_export import quantization
from mmft_export.formats import GraphFormat, Job
from mmft_export.quantization import Recorder
from mmft_export.tracing import GraphInfo, TensorInfo, Traced, filled

OPSET = 20


class Onnx(GraphFormat):
    """Graphs whose inputs, outputs and dimensions of any size have the names of the task's."""

    suffix = ".onnx"
    quantizations = ("int8", "int8-static")

    def quantize(self, full: Path, infos: Sequence[GraphInfo], job: Job, folder: Path) -> None:
        if job.quantize == "int8":
            for info in infos:
                quantization.quantize_dynamic(full / info.file, folder / info.file)
            return
        recorders = {i.name: Recorder(self.run(full / i.file, i), i) for i in infos}
        job.calibrate(recorders)
        for info in infos:
            calls = recorders[info.name].calls
            quantization.quantize_static(full / info.file, folder / info.file, calls)

    def write_graph(self, traced: Traced, file: Path) -> None:
        try:
            with _silence():
                found = torch.onnx.export(
                    traced.program,
                    dynamo=True,
                    opset_version=OPSET,
                    custom_translation_table=_translations(),
                    verbose=False,
                )
        except Exception as error:
            raise ExportError(
                f"The graph '{traced.name}' cannot be written as ONNX: {_reason(error)}.",
                hint="--format torch-export takes whatever torch computes.",
            ) from error
        assert found is not None
        graph = found.model.graph
        _rename(graph.inputs, traced.inputs)
        _rename(graph.outputs, traced.outputs)
        found.save(file)

    def run(self, file: Path, info: GraphInfo) -> Runner:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ExportError(f"{file} cannot be loaded: {first_line(error)}.") from error
        outputs = [tensor.name for tensor in info.outputs]

        def runner(inputs: Tensors) -> Tensors:
            given = zip(info.inputs, filled(inputs, info.inputs), strict=True)
            arrays = {i.name: np.ascontiguousarray(tensor.numpy()) for i, tensor in given}
            return dict(zip(outputs, map(_tensor, session.run(outputs, arrays)), strict=True))

        return runner

    def versions(self) -> Mapping[str, str]:
        names = ("torch", "onnx", "onnxruntime", "onnxscript")
        return {"opset": str(OPSET), **{n: importlib.metadata.version(n) for n in names}}


def _translations() -> dict[Any, Any]:
    """Translations of operators that torch's ONNX exporter lacks.

    `_is_all_true` appears in graphs with checks of tensors, such as D-FINE's.
    """
    from onnxscript import opset20

    def is_all_true(self: Any) -> Any:
        return opset20.ReduceMin(self, keepdims=False)

    return {torch.ops.aten._is_all_true.default: is_all_true}


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(array)


def _rename(values: Any, infos: tuple[TensorInfo, ...]) -> None:
    import onnx_ir

    for value, info in zip(values, infos, strict=True):
        value.name = info.name
        value.shape = onnx_ir.Shape(info.shape)


def _reason(error: BaseException) -> str:
    """What the exporter says deep down: the operator that it does not know, for example."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """While the exporter tells of its progress, to whoever listens."""
    with (
        quieted("torch.onnx", "onnxscript"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
