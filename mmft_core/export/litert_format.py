"""LiteRT (once TensorFlow Lite), for phones and small devices: fixed sizes, a sample at a time.

In the file an input is called "args_0_NAME", and an output as the task calls it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mmft_core.contracts import Runner, Tensors
from mmft_core.errors import ExportError, first_line
from mmft_core.export.formats import GraphFormat
from mmft_core.export.tracing import GraphInfo, TensorInfo, Traced, filled

_PREFIX = "args_0_"


class LiteRt(GraphFormat):
    """Graphs of one sample; a batch is computed a sample at a time."""

    suffix = ".tflite"

    def info(self, traced: Traced) -> GraphInfo:
        told = super().info(traced)
        return replace(
            told,
            inputs=tuple(_alone(tensor) for tensor in told.inputs),
            outputs=tuple(_alone(tensor) for tensor in told.outputs),
        )

    def write(self, traced: Traced, file: Path) -> None:
        for tensor in self.info(traced).inputs:
            sizes = [size for size in tensor.shape if isinstance(size, str)]
            if sizes:
                raise ExportError(
                    f"The graph '{traced.name}' takes {tensor.name} of any {sizes[0]}, and LiteRT "
                    "takes inputs of one size alone, such as pictures.",
                    hint="--format onnx takes any.",
                )
        graph = traced.graph
        sample = {name: tensor[:1].clone() for name, tensor in graph.inputs.items()}
        try:
            with _silence(), torch.no_grad():
                import litert_torch

                litert_torch.convert(graph.module, (sample,)).export(str(file))
        except Exception as error:
            raise ExportError(
                f"The graph '{traced.name}' cannot be written for LiteRT: {first_line(error)}.",
                hint="--format onnx knows more operations.",
            ) from error

    def run(self, file: Path, info: GraphInfo) -> Runner:
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(file), num_threads=torch.get_num_threads())
            interpreter.allocate_tensors()
            signature = interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"{file} cannot be loaded: {first_line(error)}.") from error
        names = [f"{_PREFIX}{tensor.name}" for tensor in info.inputs]

        def runner(inputs: Tensors) -> Tensors:
            given = [np.ascontiguousarray(t.numpy()) for t in filled(inputs, info.inputs)]
            rows = [
                signature(
                    **{name: array[at : at + 1] for name, array in zip(names, given, strict=True)}
                )
                for at in range(len(given[0]))
            ]
            return {
                tensor.name: torch.from_numpy(np.concatenate([row[tensor.name] for row in rows]))
                for tensor in info.outputs
            }

        return runner

    def versions(self) -> Mapping[str, str]:
        names = ("torch", "litert-torch", "ai-edge-litert")
        return {name: importlib.metadata.version(name) for name in names}


def _alone(tensor: TensorInfo) -> TensorInfo:
    """Of a batch of one."""
    return replace(tensor, shape=(1, *tensor.shape[1:]))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """While the converter tells of its progress."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
