"""Post-training quantization of ONNX graphs to 8 bits, by ONNX Runtime.

Dynamic: weights of matrix products are kept in 8 bits, and what they are multiplied with is
quantized as it comes. Static: the ranges of activations are measured beforehand on samples of the
training data, and convolutions are quantized as well (Jacob et al., 2018, "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference").
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmft_core.contracts import Runner, Tensors
from mmft_core.errors import ExportError, first_line
from mmft_core.utils import quieted
from mmft_export.tracing import GraphInfo, filled

RECORDED = 64
"""Calls of a graph that static quantization measures ranges on, at most."""


class Recorder:
    """A runner that keeps what it was given."""

    def __init__(self, runner: Runner, info: GraphInfo) -> None:
        self.runner, self.info = runner, info
        self.calls: list[dict[str, Any]] = []

    def __call__(self, inputs: Tensors) -> Tensors:
        if len(self.calls) < RECORDED:
            given = zip(self.info.inputs, filled(inputs, self.info.inputs), strict=True)
            self.calls.append({info.name: tensor.numpy() for info, tensor in given})
        return self.runner(inputs)


def quantize_dynamic(source: Path, target: Path) -> None:
    """Quantize the weights of a graph's matrix products.

    Raises:
        ExportError: ONNX Runtime cannot.
    """
    from onnxruntime import quantization

    with _prepared(source) as prepared:
        quantization.quantize_dynamic(
            prepared,
            target,
            # Convolutions that quantize as they go are slower than those in full precision.
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"DefaultTensorType": 1},
        )


def quantize_static(source: Path, target: Path, calls: Sequence[Mapping[str, Any]]) -> None:
    """Quantize weights and activations of a graph.

    Args:
        calls: what it was given, by which the ranges of activations are measured.

    Raises:
        ExportError: ONNX Runtime cannot.
    """
    from onnxruntime import quantization

    if not calls:
        raise ExportError(
            f"Nothing was computed by the graph '{source.stem}', so it has no ranges to measure.",
            hint="Quantize dynamically: --quantize int8",
        )

    class Calls(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(calls)

        def get_next(self) -> Mapping[str, Any] | None:
            return next(self.left, None)

    with _prepared(source) as prepared:
        quantization.quantize_static(
            prepared,
            target,
            Calls(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            reduce_range=_overflows(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"DefaultTensorType": 1},
        )


def _overflows() -> bool:
    """Whether this CPU sums products of 8 bits in 16, which takes weights of 7 bits."""
    features = torch.cpu.get_capabilities()
    return not any(features.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


@contextmanager
def _prepared(source: Path) -> Iterator[Path]:
    """A graph as ONNX Runtime likes to quantize it: shapes inferred, batch norms folded.

    Raises:
        ExportError: it cannot be quantized.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        with quieted(""), tempfile.TemporaryDirectory() as name:
            prepared = Path(name) / "prepared.onnx"
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            yield prepared
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(
            f"The graph '{source.stem}' cannot be quantized: {first_line(error)}."
        ) from error
