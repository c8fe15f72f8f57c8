"""Networks for rows of numbers and categories."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmft_core.contracts import Backbone, BackboneContext, Features, Tensors
from mmft_tabular.columns import Columns
from mmft_tabular.options import TabularOptions
from mmft_tabular.processing import UNKNOWN, TabularProcessor

B = TypeVar("B", bound="Tabular")


class Tokens(nn.Module):
    """One vector for each cell, as in the feature tokenizer of FT-Transformer.

    A number is a vector of its column times the number, plus another one; so is each part of a
    date. A category is a vector of its own; an empty cell of numbers has a vector too.
    """

    def __init__(self, columns: Columns, width: int) -> None:
        super().__init__()
        numbers = len(list(columns.scales))
        sizes = [len(c) for c in columns.categories.values()]
        self.scales = nn.Parameter(torch.empty(numbers, width).uniform_(-1, 1) / width**0.5)
        self.offsets = nn.Parameter(torch.empty(numbers, width).uniform_(-1, 1) / width**0.5)
        self.empty = nn.Parameter(torch.zeros(numbers, width))
        embeddings = [nn.Embedding(n + UNKNOWN + 1, width) for n in sizes]
        for embedding in embeddings:
            nn.init.uniform_(embedding.weight, -(width**-0.5), width**-0.5)
        self.categories = nn.ModuleList(embeddings)

    def forward(self, inputs: Tensors) -> Tensor:
        """(B, N + C, D)."""
        given = inputs["given"].unsqueeze(-1)
        numbers = inputs["numbers"].unsqueeze(-1) * self.scales + self.offsets
        numbers = torch.where(given, numbers, self.empty)
        names = [e(inputs["categories"][:, k]) for k, e in enumerate(self.categories)]
        return torch.cat([numbers, *(n.unsqueeze(1) for n in names)], dim=1)


class Row(nn.Module):
    """Puts a token that stands for the whole row before those of its cells."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([self.token.expand(tokens.shape[0], 1, -1), tokens], dim=1)


class Block(nn.Module):
    """A layer of a transformer, with norms before what they are for (Xiong et al., 2020).

    Unlike torch's own it always calls its linear layers, so that adapters can take their places.
    """

    HEADS = 8

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, D) to the same."""
        parts = self.attention_in(self.attention_norm(tokens)).chunk(3, dim=-1)
        query, key, value = (p.unflatten(-1, (self.HEADS, -1)).transpose(1, 2) for p in parts)
        found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.dropout(self.attention_out(found))
        changed: Tensor = tokens + self.dropout(self.mlp(self.mlp_norm(tokens)))
        return changed


class Tabular(Backbone):
    """What the tabular backbones share: a vector for each cell."""

    processor: TabularProcessor

    def __init__(self, columns: Columns, options: TabularOptions) -> None:
        super().__init__()
        self.columns, self.width = columns, options.width
        self.processor = TabularProcessor(columns)
        self.tokens = Tokens(columns, options.width)

    @property
    def cells(self) -> int:
        """How many a row has."""
        return len(list(self.columns.scales)) + len(self.columns.categories)

    def save_assets(self, folder: Path) -> None:
        self.columns.save(folder)


class TabularMlp(Tabular):
    """All cells' vectors, one after another, through a multi-layer perceptron."""

    def __init__(self, columns: Columns, options: TabularOptions) -> None:
        super().__init__(columns, options)
        widths = [self.cells * options.width, *[options.width] * options.depth]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(i, o), nn.LayerNorm(o), nn.GELU(), nn.Dropout(options.dropout))
            for i, o in itertools.pairwise(widths)
        )

    def layers(self) -> Sequence[nn.Module]:
        return [self.tokens, *self.blocks]

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"numbers": (B, N), "given": (B, N), "categories": (B, C)}."""
        hidden = self.tokens(inputs).flatten(1)
        for block in self.blocks:
            hidden = block(hidden)
        return Features(hidden)


class TabularTransformer(Tabular):
    """FT-Transformer (Gorishniy et al., 2021, "Revisiting Deep Learning Models for Tabular Data").

    The pooled features are those of a token that stands for the whole row.
    """

    def __init__(self, columns: Columns, options: TabularOptions) -> None:
        super().__init__(columns, options)
        self.row = Row(options.width)
        self.blocks = nn.ModuleList(
            Block(options.width, options.dropout) for _ in range(options.depth)
        )
        self.norm = nn.LayerNorm(options.width)

    def layers(self) -> Sequence[nn.Module]:
        *others, last = self.blocks
        return [nn.ModuleList([self.tokens, self.row]), *others, nn.ModuleList([last, self.norm])]

    def encode(self, inputs: Tensors) -> Features:
        """Encode {"numbers": (B, N), "given": (B, N), "categories": (B, C)}."""
        hidden = self.row(self.tokens(inputs))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return Features(hidden[:, 0], hidden)


def build_tabular_mlp(options: TabularOptions, context: BackboneContext) -> TabularMlp:
    """Build the perceptron for the columns of the training split."""
    return _loaded(TabularMlp(columns_of(options, context), options), context)


def build_tabular_transformer(
    options: TabularOptions, context: BackboneContext
) -> TabularTransformer:
    """Build the transformer for the columns of the training split."""
    return _loaded(TabularTransformer(columns_of(options, context), options), context)


def columns_of(options: TabularOptions, context: BackboneContext) -> Columns:
    """The columns of the training split with their scales and categories; on reloading, those
    that were kept with the model."""
    if context.assets is not None:
        return Columns.load(context.assets)
    # Without data, when only the size is asked for, there is one column of each kind.
    if context.train is None:
        return Columns({"number": (0.0, 1.0)}, {"category": ()})
    return Columns.of(context.train, options.rare, context.info.formats)


def _loaded(backbone: B, context: BackboneContext) -> B:
    """Networks for columns are nobody's but their owner's, so none are published."""
    backbone.loaded = context.weights.load(backbone, published=None)
    return backbone
