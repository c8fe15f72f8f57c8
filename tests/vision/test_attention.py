"""Attention that calls its projections computes what torchvision's computes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torchvision.models.swin_transformer import ShiftedWindowAttention

from mmft_vision.attention import SelfAttention, WindowAttention


def test_self_attention_equals_torchs_with_the_same_state() -> None:
    original = nn.MultiheadAttention(16, 4, batch_first=True)
    nn.init.normal_(original.in_proj_bias)
    ours = SelfAttention(copy.deepcopy(original))
    x = torch.randn(2, 5, 16)
    wanted, _ = original(x, x, x, need_weights=False)
    assert torch.allclose(ours(x, x, x, need_weights=False)[0], wanted, atol=1e-6)
    assert ours.state_dict().keys() == original.state_dict().keys()
    with torch.no_grad():
        original.in_proj_weight.mul_(2)
    ours.load_state_dict(original.state_dict())
    wanted, _ = original(x, x, x, need_weights=False)
    assert torch.allclose(ours(x)[0], wanted, atol=1e-6)


@pytest.mark.parametrize("shift", [[0, 0], [3, 3], [3, 0]])
@pytest.mark.parametrize("size", [(14, 14), (10, 17), (7, 14), (4, 5)])
def test_window_attention_equals_torchvisions(shift: list[int], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    original = ShiftedWindowAttention(16, [7, 7], shift, 4)
    nn.init.normal_(original.relative_position_bias_table)
    ours = WindowAttention(16, [7, 7], shift, 4)
    ours.load_state_dict(original.state_dict())
    x = torch.randn(2, *size, 16)
    assert torch.allclose(ours(x), original(x), atol=1e-5)
