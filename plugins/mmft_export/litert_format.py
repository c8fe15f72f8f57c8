"""LiteRT (.tflite), written by Google's converter and computed by LiteRT's interpreter.

Graphs take one sample at a time, as large as samples can be: the converter knows no sums of tensors
whose sizes are open. Smaller samples are followed by zeros, which their masks and lengths tell from
what is there.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.metadata
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmft_core.contracts import Runner, Tensors
from mmft_core.errors import ExportError, first_line
from mmft_export.formats import GraphFormat
from mmft_export.tracing import GraphInfo, Size, TensorInfo, Traced, filled

_ELSEWHERE = "--format onnx and torch-export take it."


class LiteRT(GraphFormat):
    """Graphs of fixed sizes, whose inputs and outputs have their names with "_" for "."."""

    suffix = ".tflite"

    def info(self, traced: Traced) -> GraphInfo:
        told = super().info(traced)
        return replace(
            told,
            inputs=tuple(_fixed(tensor, traced) for tensor in told.inputs),
            outputs=tuple(_fixed(tensor, traced) for tensor in told.outputs),
        )

    def write_graph(self, traced: Traced, file: Path) -> None:
        info = self.info(traced)
        example = {
            _plain(own.name): torch.ones(_sizes(fixed), dtype=own.torch_dtype)
            for own, fixed in zip(traced.inputs, info.inputs, strict=True)
        }
        try:
            with _silence():
                import litert_torch

                module = _ByName(traced)
                litert_torch.convert(module, sample_kwargs=example).export(str(file))
        except Exception as error:
            raise ExportError(
                f"The graph '{traced.name}' cannot be written for LiteRT: {_reason(error)}.",
                hint=_ELSEWHERE,
            ) from error

    def run(self, file: Path, info: GraphInfo) -> Runner:
        try:
            with _silence():
                from ai_edge_litert.interpreter import Interpreter

                threads = torch.get_num_threads()
                interpreter = Interpreter(str(file), num_threads=threads)
                interpreter.allocate_tensors()  # Only so that it speaks of it here.
                compute = interpreter.get_signature_runner()
                _check_names(compute, info)
        except Exception as error:
            raise ExportError(f"{file} cannot be loaded: {first_line(error)}.") from error

        def one(row: Sequence[Tensor]) -> Mapping[str, Any]:
            given = zip(info.inputs, row, strict=True)
            arrays = {_plain(i.name): _padded(tensor, i).numpy() for i, tensor in given}
            try:
                found: Mapping[str, Any] = compute(**arrays)
            except (ValueError, RuntimeError) as error:  # Of a graph that is not what it is told.
                raise ExportError(f"{file} cannot be computed: {first_line(error)}.") from error
            return found

        def runner(inputs: Tensors) -> Tensors:
            given = filled(inputs, info.inputs)
            rows = range(len(given[0]))
            found = [one([tensor[row : row + 1] for tensor in given]) for row in rows]
            return {o.name: _joined([f[_plain(o.name)] for f in found], o) for o in info.outputs}

        return runner

    def versions(self) -> Mapping[str, str]:
        names = ("torch", "litert-torch", "ai-edge-litert")
        return {name: importlib.metadata.version(name) for name in names}


def _check_names(compute: Any, info: GraphInfo) -> None:
    """Raises:
    ValueError: a graph has other inputs or outputs than its description.
    """
    for told, held in (
        (info.inputs, compute.get_input_details()),
        (info.outputs, compute.get_output_details()),
    ):
        for tensor in told:
            if _plain(tensor.name) not in held:
                raise ValueError(f"it has no '{tensor.name[:80]}', which export.json names")


class _ByName(nn.Module):
    """A program whose inputs come by names that Python takes for its arguments' names."""

    def __init__(self, traced: Traced) -> None:
        super().__init__()
        self.program = _copied(traced.program.module(check_guards=False))
        self.names = {_plain(tensor.name): tensor.name for tensor in traced.inputs}
        self.training = False  # What torch.export gives has no `eval`.

    def forward(self, **inputs: Tensor) -> Tensors:
        found: Tensors = self.program({self.names[key]: tensor for key, tensor in inputs.items()})
        return {_plain(name): tensor for name, tensor in found.items()}


def _copied(module: nn.Module) -> nn.Module:
    """A copy of a module whose weights lie in memory as their shapes say.

    The converter tells weights apart by where they lie, after it made them contiguous: of those
    that were not, such a copy is gone by then, and one gets the values of another that lay in the
    same place. It also changes weights that are infinite, which must not be the run's.
    """
    copied = copy.deepcopy(module)
    for tensor in (*copied.parameters(), *copied.buffers()):
        tensor.data = tensor.data.contiguous()
    return copied


def _plain(name: str) -> str:
    return name.replace(".", "_")


def _fixed(tensor: TensorInfo, traced: Traced) -> TensorInfo:
    """The same of one sample, and as large as can be.

    Raises:
        ExportError: it may be of any size.
    """
    first, *rest = tensor.shape
    sizes: list[Size] = [1 if isinstance(first, str) else first]
    for size in rest:
        if isinstance(size, str) and size not in traced.longest:
            raise ExportError(
                f"The graph '{traced.name}' cannot be written for LiteRT, whose graphs are of "
                f"fixed sizes: dimension {size} of '{tensor.name}' has no upper limit.",
                hint=_ELSEWHERE,
            )
        sizes.append(traced.longest[size] if isinstance(size, str) else size)
    # LiteRT's numbers have 32 bits.
    dtype = {"int64": "int32", "float64": "float32"}.get(tensor.dtype, tensor.dtype)
    return replace(tensor, shape=tuple(sizes), dtype=dtype)


def _sizes(tensor: TensorInfo) -> list[int]:
    return [int(size) for size in tensor.shape]


def _padded(tensor: Tensor, info: TensorInfo) -> Tensor:
    """A tensor of a graph's size that begins with another, and goes on with zeros."""
    whole = tensor.new_zeros(_sizes(info))
    whole[tuple(slice(size) for size in tensor.shape)] = tensor
    return whole


def _joined(rows: Sequence[Any], info: TensorInfo) -> Tensor:
    none = torch.zeros(0, *_sizes(info)[1:], dtype=info.torch_dtype)
    return torch.cat([none, *map(torch.from_numpy, rows)])


def _reason(error: BaseException) -> str:
    """What the converter says, and for which operation."""
    found = re.search(r"target=torch\.ops\.([\w.]+)", str(error))
    return first_line(error).rstrip(".") + (f" (at {found[1]})" if found else "")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """While the libraries tell of their progress, some of it by themselves to the terminal."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
