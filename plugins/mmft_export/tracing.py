"""A graph traced by torch.export, and what users of it have to know."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from mmft_core.contracts import Graph, Tensors
from mmft_core.errors import ExportError, first_line

Size: TypeAlias = int | str


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """An input or an output of a graph.

    Attributes:
        dtype: as numpy calls it.
        shape: of each dimension its size, or a name where it is of any size.
        example: a shape that the graph was traced with; of an output empty.
    """

    name: str
    dtype: str
    shape: tuple[Size, ...]
    example: tuple[int, ...] = ()

    @property
    def torch_dtype(self) -> torch.dtype:
        found = getattr(torch, self.dtype)
        assert isinstance(found, torch.dtype)
        return found


@dataclass(frozen=True, kw_only=True)
class GraphInfo:
    """A graph as `export.json` tells of it."""

    name: str
    file: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A graph that is ready to be written: its inputs and outputs in their order.

    Attributes:
        longest: the greatest sizes of dimensions of any size, by name, where there are such.
    """

    name: str
    program: ExportedProgram
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    longest: Mapping[str, int] = field(default_factory=dict)

    def info(self, file: str) -> GraphInfo:
        return GraphInfo(name=self.name, file=file, inputs=self.inputs, outputs=self.outputs)


@torch.no_grad()
def trace(graph: Graph) -> Traced:
    """Trace a graph, without inputs that it never reads.

    Raises:
        ExportError: it does something that torch.export cannot follow.
    """
    module = graph.module.eval()
    program = _program(graph)
    unused = _unused(program, graph.inputs)
    if unused:
        graph = replace(graph, inputs={n: t for n, t in graph.inputs.items() if n not in unused})
        program = _program(graph)
    outputs: Tensors = module(graph.inputs)
    symbols = _symbols(program, graph)
    shapes = [_shape(node.meta["val"], symbols) for node in _nodes(program, "output")]
    return Traced(
        name=graph.name,
        program=program,
        inputs=tuple(
            TensorInfo(
                name=name,
                dtype=_dtype(tensor),
                shape=_named(tensor, graph.axes.get(name, {})),
                example=tuple(tensor.shape),
            )
            for name, tensor in graph.inputs.items()
        ),
        outputs=tuple(
            TensorInfo(name=name, dtype=_dtype(tensor), shape=shape)
            for (name, tensor), shape in zip(outputs.items(), shapes, strict=True)
        ),
    )


def _program(graph: Graph) -> ExportedProgram:
    """Trace with dimensions of any size; torch finds out which of them must be equal."""
    shapes = {name: dict.fromkeys(graph.axes.get(name, {}), Dim.DYNAMIC) for name in graph.inputs}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(
                graph.module, (graph.inputs,), dynamic_shapes=(shapes,), strict=False
            )
    except Exception as error:
        raise ExportError(
            f"The graph '{graph.name}' cannot be exported: {first_line(error)}.",
            hint="torch.export could not follow what the network does.",
        ) from error


def _nodes(program: ExportedProgram, kind: str) -> list[Any]:
    """The nodes of a program's own inputs, or what its outputs are."""
    if kind == "output":
        names = set(program.graph_signature.user_outputs)
        return [node for node in program.graph.output_node().args[0] if node.name in names]
    wanted = program.graph_signature.user_inputs
    by_name = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [by_name[str(name)] for name in wanted]


def _unused(program: ExportedProgram, inputs: Mapping[str, Tensor]) -> set[str]:
    placeholders = _nodes(program, "placeholder")
    return {name for name, node in zip(inputs, placeholders, strict=True) if not node.users}


def _symbols(program: ExportedProgram, graph: Graph) -> dict[str, str]:
    """What torch calls the dimensions of any size, to their names."""
    symbols: dict[str, str] = {}
    for name, node in zip(graph.inputs, _nodes(program, "placeholder"), strict=True):
        for at, axis in graph.axes.get(name, {}).items():
            size = str(node.meta["val"].shape[at])
            if size.isdecimal():
                raise ExportError(
                    f"The graph '{graph.name}' only works for {name} of {axis} {size}.",
                    hint="What the network computes depends on that size as on a constant.",
                )
            symbols.setdefault(size, axis)
    return symbols


def _shape(value: Tensor, symbols: Mapping[str, str]) -> tuple[Size, ...]:
    return tuple(
        int(str(size)) if str(size).isdecimal() else symbols.get(str(size), str(size))
        for size in value.shape
    )


def _named(tensor: Tensor, axes: Mapping[int, str]) -> tuple[Size, ...]:
    return tuple(axes.get(at, size) for at, size in enumerate(tensor.shape))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def filled(inputs: Tensors, wanted: Sequence[TensorInfo]) -> list[Tensor]:
    """What a graph takes, in its order; see `Runner`."""
    rows = next(len(tensor) for tensor in inputs.values())
    found = []
    for info in wanted:
        tensor = inputs.get(info.name)
        if tensor is None:
            tensor = torch.ones(rows, *info.example[1:])
        found.append(tensor.detach().cpu().to(info.torch_dtype))
    return found
