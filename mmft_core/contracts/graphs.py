"""Graphs: the parts of a model that are exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from mmft_core.contracts.data import Tensors

Runner: TypeAlias = Callable[[Tensors], Tensors]
"""What computes a graph, torch or another: tensors by name in, tensors by name out, on the CPU.

Inputs that are not given are taken for ones, of the example's size but for the batch; inputs that
the graph does not have are passed over.
"""

Axes: TypeAlias = Mapping[str, Mapping[int, str]]
"""By tensor its dimensions of any size, each with a name; those of one name are equally large."""


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
