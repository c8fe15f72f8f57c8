"""Any module of torch as a backbone; means of scores; processors around others."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmft_core.contracts import ModuleBackbone, ProcessorWrapper, SampleMean, as_features
from tests.conformance.plugins.sound_parts import Padder


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1))
        self.stem = nn.Linear(2, 3)
        self.act = nn.GELU()
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        self.norm = nn.LayerNorm(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.blocks[1](self.blocks[0](self.act(self.stem(x)))))


class Plain(ModuleBackbone):
    def encode(self, inputs):
        return as_features(self.body(inputs["x"]))


def test_layers_are_in_order_and_hold_every_parameter_once() -> None:
    backbone = Plain(Body())
    names = {id(p): name for name, p in backbone.body.named_parameters()}
    layers = [
        sorted({names[id(p)].split(".")[0] for p in m.parameters()}) for m in backbone.layers()
    ]
    assert layers == [["token"], ["stem"], ["blocks"], ["blocks", "norm"]]
    held = [id(p) for layer in backbone.layers() for p in layer.parameters()]
    assert sorted(held) == sorted(names)
    assert backbone.measured_width(torch.zeros(1, 5, 2)) == 3 and backbone.body.training


def test_what_a_network_returns_becomes_features() -> None:
    sequence = torch.arange(12.0).view(2, 3, 2)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = as_features(sequence, mask)
    assert found.pooled.tolist() == [[1, 2], [6, 7]] and found.mask is mask
    assert as_features(sequence).pooled.tolist() == [[2, 3], [8, 9]]
    feature_map = as_features(torch.ones(2, 4, 3, 5))
    assert feature_map.pooled.shape == (2, 4) and feature_map.sequence.shape == (2, 15, 4)
    assert as_features(found) is found and as_features(torch.ones(2, 4)).sequence is None
    with pytest.raises(TypeError, match=r"returns shape \(3,\): expected \(B, D\)"):
        as_features(torch.ones(3))
    with pytest.raises(TypeError, match="returns tuple"):
        as_features((sequence,))


class Right(SampleMean):
    def scores(self, predictions, targets):
        return predictions == targets


def test_a_mean_over_samples_merges() -> None:
    one, other = Right(), Right()
    assert math.isnan(one.compute()[""])
    one.update(torch.tensor([1, 2, 3]), torch.tensor([1, 2, 0]))
    other.update(torch.tensor([1]), torch.tensor([0]))
    one.merge(other.state())
    assert one.compute() == {"": 0.5}
    one.reset()
    assert math.isnan(one.compute()[""])


def test_a_wrapped_processor_hands_on_what_it_does_not_change() -> None:
    class Louder(ProcessorWrapper):
        def prepare(self, raw, *, train):
            return {k: 2 * v for k, v in self.inner.prepare(raw, train=train).items()}

    inner = Padder(noise=0.5)
    wrapped = Louder(inner)
    plain, changed = (
        inner.prepare([1.0, 2.0], train=False),
        wrapped.prepare([1.0, 2.0], train=False),
    )
    assert all((changed[k] == 2 * plain[k]).all() for k in plain)
    assert wrapped.axes() == inner.axes() and wrapped.augments == "numbers get noise"
    assert wrapped.stamp([1.0]) == inner.stamp([1.0])
