"""Graphs: the parts of a model that compute by themselves, as they are exported."""

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

    It is traced once and then runs on other inputs, so nothing in it may depend on what the
    tensors hold, but for their shapes where `axes` says so.

    Attributes:
        name: of its file: "model", or "encoder" and "decoder".
        module: in eval mode; its forward takes one dict of tensors and gives another, both by the
            names that users of the export will meet ("image.pixels", "probabilities").
        inputs: an example, every dimension of any size being 2 at least and unlike others.
        axes: the dimensions of the inputs that are of any size: {"text.tokens": {0: "batch",
            1: "length"}}. All others stay as the example has them.
    """

    name: str
    module: nn.Module
    inputs: Tensors
    axes: Axes
