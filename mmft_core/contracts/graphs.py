"""Graphs: the parts of a model that are exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from mmft_core.contracts.data import Tensors

Runner: TypeAlias = Callable[[Tensors], Tensors]
"""Computes a graph, with torch or another runtime, on the CPU: named tensors in, named tensors out.

Missing inputs are replaced by ones of the example's size, except for the batch; inputs that the
graph does not have are ignored.
"""

Axes: TypeAlias = Mapping[str, Mapping[int, str]]
"""The variable dimensions of each tensor, with names. Dimensions that share a name share a size."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A part of a model that a runtime can compute.

    It is traced once and then runs on other inputs, so nothing in it may depend on the values of
    tensors; it may depend on the sizes that `axes` names.

    Attributes:
        name: the name of its file: "model", or "encoder" and "decoder".
        module: in eval mode; its forward takes a dict of tensors and returns another, both with the
            names that users of the export see ("image.pixels", "probabilities").
        inputs: an example; each dimension of variable size is at least 2, and all differ.
        axes: the dimensions of the inputs with variable size: {"text.tokens": {0: "batch",
            1: "length"}}. All others are fixed to their size in the example.
    """

    name: str
    module: nn.Module
    inputs: Tensors
    axes: Axes
