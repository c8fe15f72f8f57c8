"""Attention that calls the layers of its projections, so that adapters on them have an effect.

torchvision's Vision Transformer and Swin read the weights of their projections and compute with
them elsewhere, so an adapter on such a layer would be ignored. These modules compute the same, with
the same parameters under the same names in the state dict.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models.swin_transformer import ShiftedWindowAttention


class SelfAttention(nn.Module):
    """What torch's `MultiheadAttention` computes for one sequence, batch first (Vaswani, 2017)."""

    def __init__(self, original: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads, self.dropout, width = original.num_heads, original.dropout, original.embed_dim
        self.in_proj = nn.Linear(width, 3 * width, device="meta")
        self.in_proj.weight, self.in_proj.bias = original.in_proj_weight, original.in_proj_bias
        self.out_proj = nn.Linear(width, width, device="meta")
        self.out_proj.weight, self.out_proj.bias = original.out_proj.weight, original.out_proj.bias
        self.register_state_dict_post_hook(_to_published_names)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_from_published_names)  # type: ignore[no-untyped-call]

    def forward(self, query: Tensor, *_: Tensor, need_weights: bool = False) -> tuple[Tensor, None]:
        """Attend (B, T, D) to itself; like torch's module, with the same tensor three times."""
        size, length, width = query.shape
        packed = self.in_proj(query).view(size, length, 3, self.heads, -1)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind()
        drop = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)
        return self.out_proj(attended.transpose(1, 2).reshape(size, length, width)), None


_NAMES = (("in_proj.weight", "in_proj_weight"), ("in_proj.bias", "in_proj_bias"))
"""The names of parameters here, and in torch's module and published weights."""


def _to_published_names(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    for own, published in _NAMES:
        if prefix + own in state:
            state[prefix + published] = state.pop(prefix + own)


def _from_published_names(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    for own, published in _NAMES:
        if prefix + published in state:
            state[prefix + own] = state.pop(prefix + published)


class WindowAttention(ShiftedWindowAttention):  # type: ignore[misc]
    """Attention within windows that may be shifted (Liu et al., 2021, "Swin Transformer")."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend (B, H, W, C)."""
        height, width = x.shape[1:3]
        (rows, columns), shift = self.window_size, list(self.shift_size)
        x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
        padded = x.shape[1:3]
        # If one window holds the whole map, there is nothing to shift.
        shift = [0 if w >= p else s for s, w, p in zip(shift, (rows, columns), padded, strict=True)]
        windows = _divide(torch.roll(x, (-shift[0], -shift[1]), (1, 2)), rows, columns)
        bias = self.get_relative_position_bias()
        if any(shift):
            bias = bias + _mask(x, shift, rows, columns).repeat(x.shape[0], 1, 1, 1)
        number, length, channels = windows.shape
        packed = self.qkv(windows).view(number, length, 3, self.num_heads, -1)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind()
        drop = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias.to(q.dtype), dropout_p=drop
        )
        attended = attended.transpose(1, 2).reshape(number, length, channels)
        attended = F.dropout(self.proj(attended), self.dropout, self.training)
        x = attended.view(-1, padded[0] // rows, padded[1] // columns, rows, columns, channels)
        x = torch.roll(x.transpose(2, 3).flatten(3, 4).flatten(1, 2), (shift[0], shift[1]), (1, 2))
        return x[:, :height, :width].contiguous()


def _divide(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut maps (B, H, W, C) into windows (B * windows, rows * columns, C)."""
    size, height, width, channels = x.shape
    x = x.view(size, height // rows, rows, width // columns, columns, channels)
    return x.transpose(2, 3).reshape(-1, rows * columns, channels)


def _mask(x: Tensor, shift: list[int], rows: int, columns: int) -> Tensor:
    """A mask (windows, 1, T, T) between positions that only the shift brought into one window."""
    height, width = x.shape[1:3]
    down = torch.arange(height, device=x.device)
    right = torch.arange(width, device=x.device)
    strip = (down >= height - rows).long() + (down >= height - shift[0]).long()
    band = (right >= width - columns).long() + (right >= width - shift[1]).long()
    region = _divide((3 * strip[:, None] + band)[None, :, :, None], rows, columns).squeeze(2)
    apart = region[:, None, :] != region[:, :, None]
    return torch.zeros_like(apart, dtype=x.dtype).masked_fill(apart, -100.0).unsqueeze(1)


def call_projections(network: nn.Module) -> None:
    """Replace torch's attention by `SelfAttention`, with the same parameters."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.MultiheadAttention):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, SelfAttention(module))
